"""A member alone in a namespace, without keepalived: its start as a daemon, and SIGHUP."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from netns import (add_netns, delete_netns, ip, ip_batch, link_exists, run, run_in,
                   socket_answers, wait_until, wireguard_socket)
from plain import genkey, lone_member
from premises import BIN_DIR

NS, IFNAME = "gmp-reload", "gmpreload0"
PATIENCE_S = 10
IFF_VNET_HDR = 0x4000


class Member:
    def __init__(self, home):
        self.home, self.conf, self.log = home, home / "guardmount.conf", home / "log"
        self.hub = genkey()
        self.text = lone_member(home, "reload", IFNAME, self.hub["SyncPrivateKey"],
                                "10.60.1.100/24 dev lo", node="LogLevel = info\n",
                                hub="Pool = 10.78.0.0/16\n")

    def write(self, *replacements):
        text = self.text
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        self.conf.write_text(text)
        self.conf.chmod(0o600)

    def start(self, **env):
        """As a daemon: the command returns when interface and socket are there."""
        with open(self.log, "ab") as log:
            subprocess.run(["ip", "netns", "exec", NS, str(BIN_DIR / "guardmountd"), "-c",
                            self.conf.name], cwd=self.home, check=True, stdout=log, stderr=log,
                           env={**os.environ, "LOG_LEVEL": "info", **env}, timeout=20)

    def pid(self):
        pids = [int(p) for p in run(["ip", "netns", "pids", NS]).split()]
        return next((p for p in pids if Path(f"/proc/{p}/comm").read_text() == "guardmountd\n"),
                    None)

    def hang_up(self, *says):
        """SIGHUP, and what the log says then."""
        before = self.log.stat().st_size
        os.kill(self.pid(), signal.SIGHUP)

        def told():
            text = self.log.read_text()[before:]
            return text if all(s in text for s in says) else None
        return wait_until(told, PATIENCE_S, f"the log does not say {says}: {self.log.read_text()}")

    def addresses(self):
        return set(re.findall(r"inet ([\d./]+)", ip(NS, "addr", "show", IFNAME)))

    def pools(self):
        return {line.split()[0] for line in ip(NS, "route", "show", "dev", IFNAME).splitlines()
                if "proto kernel" not in line}

    def offloads(self):
        """What the last start says is in use, and whether the interface has virtio headers."""
        use = re.findall(r"segmentation offloads: use=(\S+)", self.log.read_text())[-1]
        flags = run_in(NS, ["cat", f"/sys/class/net/{IFNAME}/tun_flags"])
        return set(use.split(",")), bool(int(flags, 16) & IFF_VNET_HDR)

    def mtu(self):
        return int(re.search(r"mtu (\d+)", ip(NS, "link", "show", IFNAME))[1])

    def stop(self):
        pid = self.pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not self.pid(), PATIENCE_S, "the daemon does not end")


@pytest.fixture
def member():
    home = Path(tempfile.mkdtemp(prefix="gm-reload-"))
    m = Member(home)
    add_netns(NS)
    try:
        ip_batch(NS, ["link set lo up"])
        m.write()
        m.start()
        wait_until(lambda: socket_answers(wireguard_socket(IFNAME)), PATIENCE_S, m.log.read_text())
        yield m
    finally:
        m.stop()
        delete_netns(NS)
        shutil.rmtree(home)


def test_member_that_became_a_daemon_still_has_its_keys(member):
    assert run_in(NS, ["wg", "show", IFNAME, "public-key"]).strip() == member.hub["SyncPublicKey"]
    assert member.addresses() == {"10.77.0.1/24"} and member.pools() == {"10.78.0.0/16"}


def test_daemon_that_cannot_start_says_so_with_its_exit_status(member):
    wait_until((member.home / "run" / "health").exists, PATIENCE_S, "no health")
    done = subprocess.run(["ip", "netns", "exec", NS, str(BIN_DIR / "guardmountd"), "-c",
                           str(member.conf)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "another guardmountd runs" in done.stderr, done.stderr
    time.sleep(0.3)
    assert (member.home / "run" / "health").exists()  # and did the first no harm
    done = subprocess.run([str(BIN_DIR / "guardmountd"), "-c", "/nonexistent/x"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "/nonexistent/x: No such file" in done.stderr, done.stderr


def test_memory_that_cannot_be_locked_is_refused_with_the_limit_to_raise(member):
    """Without the capability that makes the limit void; keys in swap are not to happen by accident."""
    done = subprocess.run(["ip", "netns", "exec", NS, "setpriv", "--bounding-set", "-ipc_lock",
                           "prlimit", "--memlock=0:0", str(BIN_DIR / "guardmountd"), "-c",
                           str(member.conf)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1, done.stderr
    for word in ("RLIMIT_MEMLOCK", "LimitMEMLOCK", "CAP_IPC_LOCK", "MemoryLock = off"):
        assert word in done.stderr, done.stderr


def test_offloads_are_off_when_the_file_says_so_whatever_the_environment_says(member):
    use, headers = member.offloads()
    assert headers and use >= {"udp-gro", "udp-gso", "vnet", "tso"}
    for text, expected in (("off", {"none"}), ("-udp-gso, -vnet", {"udp-gro"})):
        member.stop()
        member.write(("LogLevel = info", f"LogLevel = info\nOffloads = {text}"))
        member.start(GUARDMOUNT_OFFLOADS="auto")
        assert member.offloads() == (expected, False)
    assert "GUARDMOUNT_OFFLOADS is ignored" in member.log.read_text()


def test_reload_takes_over_what_can_change(member):
    member.write(("10.77.0.1/24", "10.77.0.1/24, 10.77.1.1/24"), ("10.78.0.0/16", "10.79.0.0/16"),
                 ("VridOuter = 51", "VridOuter = 52"),
                 ("HubId = 1", "HubId = 1\nMTU = 1380\nFwMark = 0x77"))
    member.hang_up("configuration reloaded")
    assert member.addresses() == {"10.77.0.1/24", "10.77.1.1/24"}
    assert member.pools() == {"10.79.0.0/16"}
    assert member.mtu() == 1380
    assert run_in(NS, ["wg", "show", IFNAME, "fwmark"]).strip() == "0x77"
    # The keys outlive the configuration that they came from.
    member.write()
    member.hang_up("configuration reloaded")
    assert member.addresses() == {"10.77.0.1/24"} and member.mtu() == 1420
    assert run_in(NS, ["wg", "show", IFNAME, "fwmark"]).strip() == "off"
    assert run_in(NS, ["wg", "show", IFNAME, "public-key"]).strip() == member.hub["SyncPublicKey"]


def test_reload_changes_the_log_level(member):
    member.write(("LogLevel = info", "LogLevel = error"))
    member.hang_up("configuration reloaded")
    size = member.log.stat().st_size
    os.kill(member.pid(), signal.SIGHUP)
    time.sleep(0.3)
    assert member.log.stat().st_size == size
    member.write(("LogLevel = info", "LogLevel = loud"))
    member.hang_up("LogLevel = loud: expected", "was not reloaded")


def test_bad_file_and_change_that_needs_a_restart_change_nothing(member):
    member.write(("10.78.0.0/16", "10.79.0.0/16"), ("VipId = 1", "VipIdd = 1"),
                 ("Members = m1", "Members = m1, m9"))
    text = member.hang_up("was not reloaded")
    assert "unknown key 'VipIdd' in [Vip]; did you mean 'VipId'?" in text
    assert "Members names 'm9', and there is no [Member m9]" in text
    member.write(("10.78.0.0/16", "10.79.0.0/16"), ("Name = reload", "Name = other"),
                 ("VipId = 1", "VipId = 1\nPort = 51821"))
    text = member.hang_up("was not reloaded")
    assert "[Cluster] Name changed; restart needed" in text
    assert "[Vip main] Port changed; restart needed" in text
    member.conf.chmod(0o644)
    assert "has mode 0644" in member.hang_up("was not reloaded")
    assert member.pools() == {"10.78.0.0/16"}
    assert link_exists(NS, IFNAME)
