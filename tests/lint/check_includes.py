#!/usr/bin/env python3
"""The include rule of docs/architecture.md: siblings never include each other.

The table is includes.txt. Besides: only proto/'s codecs see generated headers, the simulator's
oracle sees nothing of the product, and a file has at most 800 lines.
"""
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
LINES_MAX = 800
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def table():
    rules = {}
    for line in (Path(__file__).parent / "includes.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            module, _, allowed = line.partition(":")
            rules[module.strip()] = set(allowed.split())
    return rules


def module_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "daemon":
        return parts[1] if len(parts) > 2 else "app"
    if parts[:2] == ("tests", "sim"):
        return "sim"
    return parts[0] if parts[0] in ("sync", "proto", "ha") else None


def main():
    rules, problems, files = table(), [], 0
    for folder in ("daemon", "sync", "proto", "ha", "tests/sim"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            module, name = module_of(path), path.relative_to(ROOT)
            files += 1
            lines = path.read_text().splitlines()
            if len(lines) > LINES_MAX and module != "sim":
                problems.append(f"{name}:{len(lines)}: more than {LINES_MAX} lines")
            for number, line in enumerate(lines, 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                target = found.group(1)
                other = target.split("/")[0] if "/" in target else module
                if target.endswith(".pb-c.h") and module != "proto":
                    problems.append(f"{name}:{number}: only proto/ may include {target}")
                elif path.stem == "oracle" and other not in ("sim",):
                    problems.append(f"{name}:{number}: the oracle shares no code with {other}")
                elif other != module and other not in rules[module] | {module}:
                    problems.append(f"{name}:{number}: {module} may not include {target}")
    for problem in problems:
        print(problem)
    print(f"{files} files read, {len(problems)} problems")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
