#!/usr/bin/env python3
"""docs/troubleshooting.md quotes what the programs say: each quotation must still be in their source."""
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/troubleshooting.md"
LITERALS = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s*"((?:[^"\\]|\\.)*)")*')
LETTERS_MIN = 9    # strings with fewer of their own say nothing
DIRECTIVE = re.compile(r"%[-0-9.*]*(?:ll|l|z)?[sduxc]")
# "besides, SENTENCE", "NAME KEY is down: SENTENCE", "fail  CHECK  TEXT", and the remedy below any.
QUOTED = (re.compile(r"^what to do: (?P<said>.*)$"),
          re.compile(r"^besides, (?P<said>.*)$"),
          re.compile(r"^(?:\S+ )?\S+= is (?:up|down): (?P<said>.*)$"),
          re.compile(r"^(?:fail|warn|note|good)  (?P<check>\S+) +(?P<said>.*)$"))


def said_by_the_programs():
    """Patterns of all strings, adjacent literals as one."""
    strings = set()
    for path in [*ROOT.glob("daemon/**/*.c")]:
        for found in LITERALS.finditer(path.read_text()):
            text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', found.group(0)))
            if len(text) > 3:
                strings.add(text)
    return strings


def pattern(text):
    # What takes the place of %s may be empty, or a sentence.
    return "(?:.*)".join(re.escape(part) for part in DIRECTIVE.split(text))


def main():
    strings = said_by_the_programs()
    known = [re.compile(pattern(s)) for s in strings
             if len(re.sub("[^a-z]", "", DIRECTIVE.sub("", s))) >= LETTERS_MIN]
    problems, quotations = [], 0
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        quoted = next((q for q in (r.match(line.strip()) for r in QUOTED) if q), None)
        if not line.startswith("    ") or not quoted:
            continue
        quotations += 1
        # "data was refused 1 s ago from ENDPOINT: SENTENCE", "SYSCTL is 0: SENTENCE" are made of two.
        said = [quoted["said"], *(p + quoted["said"].rpartition(": ")[2] for p in ("", ": "))]
        if not any(k.fullmatch(text) for k in known for text in said):
            problems.append(f"{PAGE.name}:{number}: nothing says: {quoted['said']}")
        if "check" in quoted.groupdict() and quoted["check"] not in strings:
            problems.append(f"{PAGE.name}:{number}: doctor has no check {quoted['check']}")
    print("\n".join([*problems, f"{quotations} quotations, {len(problems)} problems"]))
    return 1 if problems or quotations < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
