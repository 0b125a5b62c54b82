"""The programs that are compared, each in its turn the hub."""

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from netns import LabError, run

DEBIAN = "wireguard-go"
OURS = "guardmountd"
BIN_DIR = Path(os.environ.get("GUARDMOUNT_BIN",
                              Path(__file__).resolve().parents[3] / "build" / "bench" / "bin"))


@dataclass(frozen=True)
class Program:
    name: str
    command: tuple

    def argv(self, ifname):
        """In the foreground: what all userspace implementations understand."""
        return [*self.command, "-f", ifname]

    def version(self):
        try:
            return run([*self.command, "--version"], check=False, timeout=5).splitlines()[0].strip()
        except (LabError, IndexError, OSError):
            return "unknown"


def helper(name):
    """One of the bench's own programs in C."""
    path = BIN_DIR / name
    if not path.exists():
        raise LabError(f"{path} is missing; ./dev bench builds it")
    return str(path)


def parse(text, taken=()):
    """NAME=COMMAND, or a command whose file name is its name; a name that is @taken gets a number."""
    name, equals, command = text.partition("=")
    if not equals or "/" in name:
        name, command = "", text
    words = tuple(shlex.split(command))
    if not words:
        raise LabError(f"'{text}' names no program")
    if shutil.which(words[0]) is None:
        raise LabError(f"{words[0]}: no such program")
    name = name or os.path.basename(words[0])
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return Program(unique, words)


def line_up(named, with_debian=True):
    """Ours, Debian's, and what the command line names; ours first: ratios are ours to theirs."""
    texts = [f"{OURS}={BIN_DIR / OURS}", *([DEBIAN] if with_debian else []), *named]
    found = []
    for text in texts:
        found.append(parse(text, {p.name for p in found}))
    if len(found) < 2:
        raise LabError("nothing to compare with: name a program")
    return found
