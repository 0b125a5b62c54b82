"""A second member joins a lone one that serves: by a token and a reload, and without a restart."""

import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from netns import (add_netns, delete_netns, end_process, ip_batch, run, run_in, socket_answers, spawn,
                   wait_until, wg_keypair, wireguard_socket)
from premises import BIN_DIR

BERLIN, PARIS = "gmp-join-1", "gmp-join-2"
PATIENCE_S = 10


class Member:
    def __init__(self, ns, address, home):
        self.ns, self.address, self.home, self.process = ns, address, home / ns, None
        self.home.mkdir()
        self.conf = self.home / "guardmount.conf"

    def command(self, *arguments):
        return ["ip", "netns", "exec", self.ns, str(BIN_DIR / "guardmount"), "-c", str(self.conf),
                *map(str, arguments)]

    def ask(self, *arguments, check=True):
        return run(self.command(*arguments), check=check)

    def own_places(self):
        """The two share a file system, which machines do not; and an interface's name is a socket's."""
        text = self.conf.read_text()
        text = re.sub(r"^(State|Run)Directory = .*\n|^Interface = hub.*\n", "", text, flags=re.M)
        self.conf.write_text(text.replace(
            "[Node]\n", f"[Node]\nStateDirectory = {self.home}/state\nRunDirectory = {self.home}/run\n").replace(
            "[Hub main]\n", f"[Hub main]\nInterface = hub{self.ns[-3:]}\n"))

    def start(self):
        self.process = spawn([BIN_DIR / "guardmountd", "-f", "-c", str(self.conf)], self.ns,
                             self.home / "log", {"LOG_LEVEL": "info"})
        wait_until((self.home / "run/control.sock").exists, PATIENCE_S, (self.home / "log").read_text())

    def is_healthy(self):
        return subprocess.run(self.command("cluster", "status"), capture_output=True).returncode == 0


@pytest.fixture
def pair():
    home = Path(tempfile.mkdtemp(prefix="gm-join-"))
    members = []
    for ns in (BERLIN, PARIS):
        add_netns(ns)
    try:
        for i, ns in enumerate((BERLIN, PARIS), 1):
            members.append(Member(ns, f"10.61.0.{i}", home))
        run_in(BERLIN, ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", PARIS])
        for m in members:
            ip_batch(m.ns, ["link set lo up", "link set eth0 up", f"addr add {m.address}/24 dev eth0"])
        yield members
    finally:
        for m in members:
            if m.process:
                end_process(m.process)
        for ns in (BERLIN, PARIS):
            delete_netns(ns)
        shutil.rmtree(home)


def test_a_second_member_is_taken_in_by_a_reload(pair):
    berlin, paris = pair
    berlin.ask("cluster", "init", "--install", "--keepalived", berlin.home / "keepalived.conf", "--name", "office",
               "--member", f"berlin={berlin.address}", "--hub-address", "10.77.0.1/24",
               "--outer", "10.61.0.100/24 dev eth0")
    berlin.own_places()
    berlin.start()
    interface = re.search(r"^Interface = (.*)$", berlin.conf.read_text(), re.M).group(1)
    wait_until(lambda: socket_answers(wireguard_socket(interface)), PATIENCE_S, "no interface")
    key = wg_keypair()[1]
    run_in(berlin.ns, ["wg", "set", interface, "peer", key, "allowed-ips", "10.77.0.2/32"])
    wait_until(berlin.is_healthy, PATIENCE_S, "alone it is a whole cluster")

    invite = subprocess.Popen(berlin.command("cluster", "invite", "--keepalived", berlin.home / "keepalived.conf",
                                             "--member", f"paris={paris.address}"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "gm1_" not in said:
        said += invite.stdout.readline()
    token = re.search(r"gm1_\S+", said).group()
    paris.ask("cluster", "join", "--keepalived", paris.home / "keepalived.conf", token)
    told = invite.communicate(timeout=10)[0]
    assert invite.returncode == 0 and "reload-or-restart guardmountd" in told, told

    berlin.process.signal(signal.SIGHUP)
    wait_until(lambda: "a member was added: member=paris id=2" in (berlin.home / "log").read_text(),
               PATIENCE_S, (berlin.home / "log").read_text())
    assert not berlin.is_healthy()  # it is known, and not there yet
    paris.own_places()
    paris.start()
    for m in pair:
        wait_until(m.is_healthy, PATIENCE_S, m.ask("cluster", "status", check=False))
    assert key in paris.ask("status", "--peers", "--json")
    # What would have to be taken back waits for a restart, and says so.
    berlin.ask("cluster", "remove", "--keepalived", berlin.home / "keepalived.conf", "paris")
    berlin.process.signal(signal.SIGHUP)
    wait_until(lambda: "[Member paris] is gone; restart needed" in (berlin.home / "log").read_text(),
               PATIENCE_S, (berlin.home / "log").read_text())
    assert paris.is_healthy()
