"""Network namespaces, processes and small kernel calls: what the lab and the tests are made of.

Everything is bounded in time, and only processes that we started are ever signalled: a process is
remembered as (pid, start time), so a recycled pid is never mistaken for ours.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

COMMAND_TIMEOUT_S = 20
NETNS_DIR = "/run/netns"
WIREGUARD_DIR = "/var/run/wireguard"

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR, _IFF_UP = 0x8913, 0x8914, 0x8927, 0x1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something about the lab itself went wrong; the text says what, and what to do."""


def require_root(what):
    if os.geteuid() != 0:
        raise LabError(f"{what} needs root: it makes network namespaces (try: sudo ./dev ...)")


def require_programs(*names):
    missing = [n for n in names if shutil.which(n) is None]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}; run ./dev deps")


# ---------------------------------------------------------------- commands

def run(argv, check=True, timeout=COMMAND_TIMEOUT_S, **kw):
    """Run a command to its end and return its output (stdout and stderr together)."""
    try:
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, **kw)
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(map(str, argv))}: not done after {timeout} s") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def run_in(ns, argv, **kw):
    return run(["ip", "netns", "exec", ns, *argv], **kw)


def ip(ns, *args, check=True):
    return run(["ip", "-n", ns, *args], check=check)


def ip_batch(ns, lines):
    """Several `ip` commands in one namespace with one process."""
    return run(["ip", "-n", ns, "-batch", "-"], input="\n".join(lines) + "\n")


# ---------------------------------------------------------------- namespaces

@contextlib.contextmanager
def in_netns(ns):
    """Sockets and /proc/sys/net files opened inside belong to @ns. Moves this thread only."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"{NETNS_DIR}/{ns}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(there, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {ns}")
        finally:
            os.close(there)
        try:
            yield
        finally:
            if _libc.setns(home, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns back")
    finally:
        os.close(home)


def add_netns(ns, sysctls=None):
    """A fresh namespace: loopback up, IPv6 without DAD and router solicitation delays."""
    run(["ip", "netns", "add", ns])
    common = {
        "ipv6/conf/all/accept_dad": 0, "ipv6/conf/default/accept_dad": 0,
        "ipv6/conf/all/accept_ra": 0, "ipv6/conf/default/accept_ra": 0,
        "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0,
        # Without it an address that is taken away takes its younger siblings with it.
        "ipv4/conf/all/promote_secondaries": 1, "ipv4/conf/default/promote_secondaries": 1,
    }
    set_sysctls(ns, {**common, **(sysctls or {})})
    set_link(ns, "lo", up=True)


def set_sysctls(ns, values):
    with in_netns(ns):
        for name, value in values.items():
            Path("/proc/sys/net", name).write_text(f"{value}\n")


ROUTER_SYSCTLS = {
    "ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1,
    "ipv4/conf/all/send_redirects": 0, "ipv4/conf/default/send_redirects": 0,
}


def delete_netns(ns):
    run(["ip", "netns", "del", ns], check=False)


def list_netns(prefix):
    try:
        return sorted(n for n in os.listdir(NETNS_DIR) if n.startswith(prefix))
    except FileNotFoundError:
        return []


def set_link(ns, ifname, up):
    """Administrative state of a link by ioctl: a fault must not wait for a process to start."""
    with in_netns(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = ifname.encode()
        request = struct.pack("16sh14x", name, 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, _SIOCGIFFLAGS, request))[1] & 0xffff
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(s, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags))


def link_exists(ns, ifname):
    with in_netns(ns):
        try:
            socket.if_nametoindex(ifname)
            return True
        except OSError:
            return False


def mac_of(ns, ifname):
    with in_netns(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        answer = fcntl.ioctl(s, _SIOCGIFHWADDR, struct.pack("16s24x", ifname.encode()))
        return answer[18:24]


def addresses(ns):
    """Addresses of all links of a namespace, without prefix lengths."""
    out = run(["ip", "-n", ns, "-o", "addr", "show"], check=False)
    return {word.split("/")[0] for line in out.splitlines()
            for word in line.split()[3:4]}


# ---------------------------------------------------------------- processes

def start_time(pid):
    """Field 22 of /proc/pid/stat, or None when there is no such (live) process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])


class Process:
    """A process that we started, here or (after load) in an earlier run of the lab."""

    def __init__(self, pid, started, popen=None):
        self.pid, self.started, self._popen = pid, started, popen

    def alive(self):
        if self._popen is not None and self._popen.poll() is not None:
            return False
        return start_time(self.pid) == self.started

    def signal(self, sig):
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def wait(self, timeout):
        """True when it has ended within @timeout seconds."""
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def exit_status(self):
        """Of a process that has ended; None when it is not ours to ask."""
        if self._popen is None:
            return None
        # alive() sees the end a moment before the kernel lets us have the status.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(1)
        return self._popen.returncode

    def tree(self):
        """This process and its descendants, parents first."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    stat = Path(f"/proc/{entry}/stat").read_text()
                    parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop(0)
            started = start_time(pid)
            if started is not None:
                found.append(Process(pid, started))
            todo += parents.get(pid, [])
        return found


def spawn(argv, ns=None, log=None, env=None, **kw):
    """Start a long-running process, in a session of its own. @log: file that takes its output."""
    full = (["ip", "netns", "exec", ns] if ns else []) + [str(a) for a in argv]
    kw.setdefault("stdin", subprocess.DEVNULL)
    with open(log or os.devnull, "ab") as out:
        kw.setdefault("stdout", out)
        kw.setdefault("stderr", subprocess.STDOUT)
        p = subprocess.Popen(full, start_new_session=True,
                             env={**os.environ, **(env or {})}, **kw)
    started = start_time(p.pid)
    return Process(p.pid, started if started is not None else -1, p)


def end_process(process, patience_s=3.0):
    """SIGTERM, then SIGKILL for it and what it left behind."""
    if process is None:
        return
    family = process.tree()
    for p in family:
        p.signal(signal.SIGCONT)
    process.signal(signal.SIGTERM)
    process.wait(patience_s)
    for p in family:
        p.signal(signal.SIGKILL)
    for p in family:
        p.wait(1.0)
    if process._popen is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process._popen.wait(1.0)


def processes_with_env(marker):
    """Processes whose environment holds @marker ("NAME=value"): ours, whoever forked them."""
    needle, found = marker.encode(), []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if needle in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    started = start_time(int(entry))
                    if started is not None:
                        found.append(Process(int(entry), started))
    return found


# ---------------------------------------------------------------- waiting

def wait_until(condition, timeout, what, interval=0.02):
    """Poll @condition until it is true; its (true) value is returned. LabError after @timeout."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            detail = what() if callable(what) else what
            raise LabError(f"not within {timeout:g} s: {detail}")
        time.sleep(interval)


def socket_answers(path):
    """Does a Unix stream socket accept connections?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(1.0)
        try:
            s.connect(str(path))
            return True
        except OSError:
            return False


def wireguard_socket(ifname):
    return f"{WIREGUARD_DIR}/{ifname}.sock"


def wg_keypair():
    private = run(["wg", "genkey"]).strip()
    return private, run(["wg", "pubkey"], input=private + "\n").strip()


def stop_on_signals():
    """SIGTERM and SIGHUP end the program like Ctrl-C does, so that `finally` cleans up."""
    def raise_exit(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, raise_exit)
