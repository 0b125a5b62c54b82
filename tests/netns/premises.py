"""Where the lab is: its directory, its lock, the mark of its processes, and how it is removed."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path

import plan
from netns import LabError, delete_netns, list_netns, processes_with_env

ROOT = Path(__file__).resolve().parents[2]
BIN_DIR = Path(os.environ.get("GUARDMOUNT_BIN", ROOT / "build" / "bin"))
LAB_DIR = os.path.join(tempfile.gettempdir(), "gml-lab")
LOCK_FILE = LAB_DIR + ".lock"
STATE_FILE = os.path.join(LAB_DIR, "state.json")
ENV_MARK = "GUARDMOUNT_LAB"          # in the environment of every process of the lab


class Lock:
    def __init__(self):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = os.open(LOCK_FILE, flags, 0o600)

    def take(self, patience_s, say):
        end, told = time.monotonic() + patience_s, False
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(self.fd, 200, 0).decode(errors="replace").strip()
                if time.monotonic() >= end:
                    self.release()
                    raise LabError(f"another run uses the lab ({holder or 'unknown'}); there is "
                                   "one at a time: wait for it to end") from None
                if not told:
                    say(f"waiting for the lab: {holder}")
                    told = True
                time.sleep(0.2)
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"pid {os.getpid()}: {' '.join(sys.argv)[:150]}\n".encode(), 0)

    def release(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def quiet(_text):
    pass


def make_lab_dir():
    """A directory of root's own: others may write to the system temp directory."""
    try:
        os.mkdir(LAB_DIR, 0o700)
    except FileExistsError:
        info = os.lstat(LAB_DIR)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o077:
            raise LabError(f"{LAB_DIR} is there and is not root's own directory: "
                           "look at it and remove it") from None


def clear_remains_of_a_crash():
    """We hold the lock. A finished `lab up` is somebody's and stays; anything else is a ruin."""
    try:
        state = json.loads(Path(STATE_FILE).read_text())
    except (OSError, ValueError):
        state = {}
    if state.get("kept") and state.get("complete"):
        raise LabError("a lab is up already; ./dev lab down removes it")
    remove_everything()


def remove_everything():
    """Every process, namespace, socket and file of the lab, whatever state it is in."""
    ours = processes_with_env(f"{ENV_MARK}={LAB_DIR}")
    for p in ours:
        p.signal(signal.SIGCONT)
        p.signal(signal.SIGKILL)
    for p in ours:
        p.wait(3)
    for ns in list_netns(plan.PREFIX):
        delete_netns(ns)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/var/run/wireguard"):
            if name.startswith(("gmlhub", "gmlc")) and name.endswith(".sock"):
                os.unlink(f"/var/run/wireguard/{name}")
    if os.path.isdir(LAB_DIR) and not os.path.islink(LAB_DIR):
        shutil.rmtree(LAB_DIR)
