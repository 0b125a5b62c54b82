"""Faults of the network, the clock and the disk that class Lab does not know. Filters are undone by
calm(), the others by their own end()."""

import contextlib
import glob
import heapq
import os
import random
import select
import shutil
import socket
import sys
import time
from pathlib import Path

import plan
from netns import LabError, end_process, in_netns, ip_batch, run, run_in, spawn, wait_until
from plan import SWITCH_NS
from premises import ENV_MARK, LAB_DIR

TABLE = "gml_chaos"
_FRAME_MAX = 65600
_OUTGOING = 4                   # PACKET_OUTGOING: what we sent ourselves


# ---------------------------------------------------------------- filters

def drop(m, hook, match):
    """The member's kernel drops what matches: @hook "input" is what it hears, "output" what it says."""
    run_in(m.netns, ["nft", "-f", "-"], input=f"""
table inet {TABLE} {{
    chain {hook} {{
        type filter hook {hook} priority -400
        {match} drop
    }}
}}
""")


def one_way(m, what, hook):
    """A partition of VRRP or of a LAN in one direction only."""
    link = {"input": "iifname", "output": "oifname"}[hook]
    drop(m, hook, "meta l4proto 112" if what == "vrrp" else f"{link} {m.interface(what)}")
    return time.time()


def lose(m, percent):
    """Of everything that the member hears, on every LAN."""
    drop(m, "input", f"iifname != lo numgen random mod 100 < {percent}")


def calm(lab):
    for m in lab.members:
        run_in(m.netns, ["nft", "delete", "table", "inet", TABLE], check=False)


# ---------------------------------------------------------------- frames out of order, and twice

class Rough:
    """The cable between a member and a LAN, through a process that delivers frames late, so that
    others pass them, and twice."""

    def __init__(self, lab, m, lan, late=0.05, twice=0.05):
        self.lab, self.m, self.lan = lab, m, lan
        port, inner, outer = m.port(lan), f"{m.name}-{lan}-i", f"{m.name}-{lan}-o"
        self._offload("off")
        ip_batch(SWITCH_NS, [f"link add {inner} type veth peer name {outer}",
                             f"link set {inner} up", f"link set {outer} up"])
        log = os.path.join(LAB_DIR, f"rough-{port}.log")
        Path(log).unlink(missing_ok=True)
        self.process = spawn([sys.executable, os.path.abspath(__file__), SWITCH_NS, port, inner, late,
                              twice], None, log, {ENV_MARK: LAB_DIR})
        # It works before the cable is moved: a LAN that is dead for a second is another fault.
        wait_until(lambda: "ready" in Path(log).read_text(), 10, f"the relay of {port}")
        ip_batch(SWITCH_NS, [f"link set {port} nomaster", f"link set {outer} master {lan}"])

    def end(self):
        end_process(self.process)
        ip_batch(SWITCH_NS, [f"link del {self.m.name}-{self.lan}-i",
                             f"link set {self.m.port(self.lan)} master {self.lan}"])
        self._offload("on")

    def _offload(self, on):
        """A process can only pass on frames that are finished, checksums included."""
        boxes = [(self.m.netns, self.m.interface(self.lan))]
        if self.lan == "wan":
            boxes += [(c.netns, c.wan_if) for c in self.lab.clients]
        for ns, link in boxes:
            run_in(ns, ["ethtool", "-K", link, "tx", on, "tso", on, "gso", on], check=False)


def _port(ns, name):
    with in_netns(ns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((name, 3))
    s.setblocking(False)
    return s


def relay(ns, one, other, late, twice):
    ports = [_port(ns, one), _port(ns, other)]
    queue, number = [], 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, to, frame = heapq.heappop(queue)
            with contextlib.suppress(OSError):
                ports[to].send(frame)
        wait = max(0.0, queue[0][0] - now) if queue else 1.0
        for s in select.select(ports, [], [], wait)[0]:
            with contextlib.suppress(OSError):
                frame, address = s.recvfrom(_FRAME_MAX)
                if address[2] == _OUTGOING:
                    continue
                to = 1 - ports.index(s)
                delays = [random.uniform(0.001, 0.02) if random.random() < late else 0]
                if random.random() < twice:
                    delays.append(random.uniform(0, 0.02))
                for d in delays:
                    number += 1
                    heapq.heappush(queue, (time.monotonic() + d, number, to, frame))


# ---------------------------------------------------------------- the clock

class Clock:
    """The wall clock of a member's daemon, from its next start on (libfaketime). Its machine's
    other clocks go on as they are."""

    def __init__(self, lab, m):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise LabError("libfaketime is missing: ./dev deps")
        self.lab, self.m, self.file = lab, m, os.path.join(m.dir, "clock")
        self.step(0)
        usual = lab._environment
        lab._environment = lambda: {**usual(), "LD_PRELOAD": found[0], "DONT_FAKE_MONOTONIC": "1",
                                    "FAKETIME_TIMESTAMP_FILE": self.file, "FAKETIME_NO_CACHE": "1"}
        try:
            lab.stop_daemon(m)
            lab.start_member(m)
        finally:
            lab._environment = usual

    def step(self, seconds):
        with open(self.file + ".new", "w") as f:
            f.write(f"{seconds:+d}\n")
        os.replace(self.file + ".new", self.file)

    def end(self):
        """The daemon starts anew with the machine's clock."""
        self.lab.stop_daemon(self.m)
        self.lab.start_member(self.m)


# ---------------------------------------------------------------- the disk

class SmallDisk:
    """The member's state directory on a file system of its own, which can be filled."""

    def __init__(self, lab, m, kib=8192):
        self.lab, self.m = lab, m
        kept = m.state_dir + ".kept"
        lab.stop_daemon(m)
        shutil.copytree(m.state_dir, kept)
        run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0700", "gml", m.state_dir])
        shutil.copytree(kept, m.state_dir, dirs_exist_ok=True)
        shutil.rmtree(kept)
        lab.start_member(m)

    def fill(self):
        with open(os.path.join(self.m.state_dir, "filler"), "wb", buffering=0) as f:
            with contextlib.suppress(OSError):
                while True:
                    f.write(b"\0" * 4096)

    def empty(self):
        os.unlink(os.path.join(self.m.state_dir, "filler"))

    def end(self):
        """What it holds now goes back to where it was."""
        self.lab.stop_daemon(self.m)
        kept = self.m.state_dir + ".kept"
        shutil.copytree(self.m.state_dir, kept)
        run(["umount", self.m.state_dir])
        shutil.rmtree(self.m.state_dir)
        os.rename(kept, self.m.state_dir)
        self.lab.start_member(self.m)


# ---------------------------------------------------------------- two machines with one member id

class Clone:
    """Another member's machine becomes a copy of @m, disk and addresses included, as when an image
    is started twice. @on gives up what it was."""

    def __init__(self, lab, m, on):
        self.lab, self.m, self.on = lab, m, on
        lab.stop_member(on)
        self._address(m)
        copy = os.path.join(on.dir, "clone")
        shutil.copytree(m.state_dir, os.path.join(copy, "state"))
        os.mkdir(os.path.join(copy, "run"), 0o700)
        with open(m.conf) as f:
            text = f.read()
        text = text.replace(m.state_dir, f"{copy}/state").replace(m.run_dir, f"{copy}/run") \
            .replace(f"= {m.hub_if}", f"= {on.hub_if}")
        conf = os.path.join(copy, "guardmount.conf")
        with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(text)
        from lab import BIN_DIR
        self.log = os.path.join(copy, "log")
        self.process = spawn([BIN_DIR / "guardmountd", "-c", conf, "-f"], on.netns, self.log,
                             {ENV_MARK: LAB_DIR})

    def _address(self, of):
        """The addresses of another member's machine."""
        for lan in plan.LANS:
            v4, v6 = of.addresses(lan)
            ip_batch(self.on.netns, [f"addr flush dev {self.on.interface(lan)} scope global",
                                     f"addr add {v4}/24 dev {self.on.interface(lan)}",
                                     f"addr add {v6}/64 dev {self.on.interface(lan)} nodad"])

    def end(self):
        end_process(self.process)
        self._address(self.on)
        self.lab.start_member(self.on)


def forget_neighbours(lab):
    """Who has an address is asked anew, as after a minute of silence."""
    for m in lab.members:
        ip_batch(m.netns, ["neigh flush all"])


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
