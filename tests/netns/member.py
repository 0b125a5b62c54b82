"""A member of a cluster of one, in a namespace: the test plays keepalived."""

import os
import subprocess

from netns import end_process, ip, spawn
from plain import genkey, lone_member
from premises import BIN_DIR


class LoneMember:
    def __init__(self, home, ns, interface, vip, wan):
        """@vip: address and length, on the interface @wan."""
        self.home, self.ns, self.vip, self.wan = home, ns, vip, wan
        self.processes, self.fifo = [], None
        self.hub = genkey()
        self.conf = home / "guardmount.conf"
        self.conf.write_text(lone_member(home, "alone", interface, self.hub["SyncPrivateKey"],
                                         f"{vip} dev {wan}"))
        self.conf.chmod(0o600)

    def start(self, *arguments):
        """guardmountd; its process."""
        self.processes.append(spawn([BIN_DIR / "guardmountd", "-f", *arguments], self.ns,
                                    self.home / "log", {"LOG_LEVEL": "info"}))
        return self.processes[-1]

    def keepalived(self, state):
        """Its word and its address."""
        if not self.fifo:
            self.fifo = os.open(self.home / "run/vrrp.fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(self.fifo, f'INSTANCE "GM_1" {state} 150\n'.encode())
        ip(self.ns, "addr", "add" if state == "MASTER" else "del", self.vip, "dev", self.wan)

    def ask(self, *arguments, status=0):
        done = subprocess.run([str(BIN_DIR / "guardmount"), "-s", f"{self.home}/run/control.sock",
                               *map(str, arguments)], capture_output=True, text=True, timeout=20)
        assert done.returncode == status, (arguments, done)
        return done.stdout

    def stop(self):
        if self.fifo:
            os.close(self.fifo)
        for process in reversed(self.processes):
            end_process(process)
