"""docs/quickstart.md, word by word: two clean Debian machines, a switch, a server on the LAN and a stock
client, from `apt install` to a failover that the client does not notice.

  python3 packaging/smoke/test_quickstart.py build/packages/*.deb
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from machine import ENV, Machine, run

GUIDE = Path(__file__).parents[2] / "docs" / "quickstart.md"
EXTRA = ("wireguard-tools", "iproute2", "keepalived", "procps")
COMMANDS_MAX = 10
OUTER_VIP, SERVER, HUB = "203.0.113.100", "10.0.0.50", "10.77.0.1"
FAILOVER_MAX_S = 3.0  # of a machine that does other things; docs/bench.md has what it is alone
UNNOTICED_MAX_S = 1.0  # the same, where nothing is to happen at all
PING_S = 0.05


class Net:
    """A network namespace with a process in it, so that it has a path, and ends with it."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--kill-child", "--fork", "sh", "-c",
             "mount -t tmpfs tmpfs /run/wireguard 2>/dev/null || { mkdir -p /run/wireguard; "
             "mount -t tmpfs tmpfs /run/wireguard; }; ip link set lo up; echo up; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "up\n"
        self.pid = int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())

    def argv(self, *argv):
        return ["nsenter", "-t", str(self.pid), "--net", "--mount", *map(str, argv)]

    def run(self, *argv, **kw):
        return run(*self.argv(*argv), **kw)

    def close(self):
        self.process.kill()
        self.process.wait()


def cable(switch, bridge, pid, ifname, address):
    """Interface @ifname of the machine with process @pid, on @bridge."""
    port = f"{ifname}-{pid}"
    switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "other")
    switch.run("ip", "link", "set", port, "master", bridge, "up")
    switch.run("ip", "link", "set", "other", "netns", pid, "name", ifname)
    inside = ("nsenter", "-t", pid, "--net", "ip")
    run(*inside, "address", "add", address, "dev", ifname)
    run(*inside, "link", "set", ifname, "up")


def guide():
    """[(machine, command)] in the order of the page."""
    found = re.findall(r"^    (berlin|paris)# (.*)$", GUIDE.read_text(), re.M)
    assert len(found) <= COMMANDS_MAX, f"{len(found)} commands are more than {COMMANDS_MAX}"
    return found


def start(m, command):
    if "--qr" in command:  # it shows a key, and so only to a terminal
        command = f"script -qec '{command}' /dev/null"
    return subprocess.Popen(["nsenter", "-t", str(m.pid), "--all", "sh", "-c", f"cd /packages && {command}"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=ENV)


def follow(machines, commands):
    """Each command ends well before the next one is typed; but `invite` waits, until the join."""
    waiting, token = None, None
    for name, command in commands:
        if " join " in command:
            assert token, "nobody was invited"
            command = command.replace("gm1_...", token)
        at = time.monotonic()
        process = start(machines[name], command)
        if " invite " in command:
            waiting, text = process, ""
            while not (found := re.search(r"gm1_[A-Za-z0-9_-]{100,}", text)):
                line = process.stdout.readline()
                assert line, text
                text += line
            token = found.group()
        else:
            out = process.communicate(timeout=120)[0]
            assert process.returncode == 0, f"{name}# {command}\n{out}\n{machines[name].journal()}"
            if " join " in command:
                out = waiting.communicate(timeout=10)[0]
                assert waiting.returncode == 0, out
                used = start(machines[name], "mv /etc/guardmount/guardmount.conf /root && " + command)
                assert "used already" in used.communicate()[0] and used.returncode == 1
                machines[name].run("mv", "/root/guardmount.conf", "/etc/guardmount")
        print(f"package step quickstart {name}# {' '.join(command.split()[:3])}: passed "
              f"({time.monotonic() - at:.1f} s)", flush=True)


def status(m):
    return json.loads(m.run("guardmount", "status", "--json", check=False).stdout or "{}")


def in_sync(m):
    s = status(m)
    return s.get("in_sync") and s.get("fit") and live(m)


def has_good_files(m):
    assert m.out("stat", "-c", "%a %U %G", "/etc/guardmount/guardmount.conf") == "640 root guardmount"
    m.run("sh", "-c", "guardmount ha render | cmp - /etc/keepalived/keepalived.conf")
    found = json.loads(m.run("guardmount", "doctor", "--json", check=False).stdout)["findings"]
    bad = [f["text"] for f in found if f["severity"] == "fail"]
    assert not bad, bad


class Pings:
    """Echoes from the client to a server behind the hub, each with its time."""

    def __init__(self, client):
        self.process = subprocess.Popen(
            client.argv("ping", "-n", "-D", "-i", PING_S, "-W", "1", SERVER),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def end(self):
        """The longest silence, in seconds."""
        self.process.terminate()
        at = [float(t) for t in re.findall(r"^\[([0-9.]+)\].* bytes from", self.process.communicate()[0], re.M)]
        assert at, "no echo at all"
        return max(b - a for a, b in zip(at, at[1:] + [time.time()]))


def handshake(client):
    return int(client.run("wg", "show", "phone", "latest-handshakes").stdout.split()[1])


def connect(client, berlin, where):
    text = berlin.file("/packages/phone.conf").read_text()
    assert f"Endpoint = {OUTER_VIP}:51820" in text, text
    conf = where / "phone.conf"
    conf.write_text(text)
    conf.chmod(0o600)
    client.run("wg-quick", "up", conf, env={**ENV, "WG_QUICK_USERSPACE_IMPLEMENTATION": "wireguard-go"})
    return conf


def run_all(m, text):
    """The commands that a command printed, as they stand there."""
    for command in re.findall(r"^ {4}(guardmount .*|systemctl .*)$", text, re.M):
        out = start(m, command).communicate(timeout=60)[0]
        print(f"package step quickstart printed: {command.split(' --')[0]}: passed", flush=True)
        if " admit " in command:
            run_all(m, out)


def a_third_member_costs_nobody_anything(machines, client, make):
    """By what `cluster invite` prints, and nothing else; members of two lists live beside each other meanwhile."""
    rome = make("rome", 3)
    rome.run("sh", "-c", "cd /packages && apt-get install -y ./*.deb && sysctl -qw net.ipv4.ip_forward=1")
    before, pings = handshake(client), Pings(client)
    invite = start(machines["berlin"], "guardmount cluster invite --member rome=10.0.0.3")
    text = ""
    while "gm1_" not in text:
        text += invite.stdout.readline()
    joined = start(rome, re.search(r"guardmount cluster join \S+", text).group()).communicate(timeout=20)[0]
    run_all(rome, joined)
    here, there = invite.communicate(timeout=20)[0].split("On paris")
    run_all(machines["berlin"], here)
    machines["berlin"].wait("berlin and rome are linked", 20, lambda: live(machines["berlin"]) >= {"paris", "rome"})
    run_all(machines["paris"], there)
    for m in machines.values():
        m.wait("all three are in sync", 20, lambda m=m: len(live(m)) == 2 and status(m)["in_sync"])
    gap = pings.end()
    assert gap <= UNNOTICED_MAX_S, f"{gap:.2f} s without an echo"
    assert handshake(client) == before, "the client had to make a handshake"
    print(f"package step quickstart a third member, {gap:.2f} s without an echo: passed", flush=True)


def live(m):
    return {s["name"] for s in status(m).get("members", []) if s["link"] == "live"}


def owners(machines):
    return [n for n, m in machines.items() if status(m)["vips"][0]["owned"]]


def survive_a_failover(machines, client, _make):
    owner = owners(machines)[0]
    others = [m for n, m in machines.items() if n != owner]
    first, at = handshake(client), time.monotonic()
    pings = Pings(client)
    time.sleep(2)
    (machines[owner].group / "cgroup.kill").write_text("1")  # the plug
    time.sleep(4)
    gap = pings.end()
    assert sum(status(m)["vips"][0]["owned"] for m in others) == 1
    assert gap <= FAILOVER_MAX_S, f"{gap:.2f} s without an echo"
    assert handshake(client) == first, "the client had to make a handshake"
    assert time.monotonic() - at < 100, "too slow: the client may have made one by itself"
    print(f"package step quickstart failover from {owner}, {gap:.2f} s without an echo: passed", flush=True)


def tell(packages, story):
    """Ten commands make a cluster; then the @story, which may bring further machines in."""
    open_, machines = [], {}
    try:
        switch, server, client = Net(), Net(), Net()
        open_ += [switch, server, client]
        for bridge in ("outer", "inner"):
            switch.run("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            switch.run("ip", "link", "set", bridge, "up")

        def make(name, i):
            m = machines[name] = Machine(packages, EXTRA)
            open_.append(m)
            cable(switch, "outer", m.pid, "eth0", f"203.0.113.{i}/24")
            cable(switch, "inner", m.pid, "eth1", f"10.0.0.{i}/24")
            return m

        make("berlin", 1), make("paris", 2)
        cable(switch, "inner", server.pid, "eth0", f"{SERVER}/24")
        server.run("ip", "route", "add", "10.77.0.0/16", "via", "10.0.0.100")
        cable(switch, "outer", client.pid, "eth0", "203.0.113.77/24")
        follow(machines, guide())
        for m in machines.values():
            m.wait("it is in sync", 20, lambda m=m: in_sync(m))
            has_good_files(m)
            m.run("guardmount", "cluster", "status")
        m.wait("one has the VIP", 10, lambda: len(owners(machines)) == 1)
        conf = connect(client, machines["berlin"], machines["berlin"].dir)
        try:
            client.run("ping", "-c", "1", "-W", "5", SERVER)
            story(machines, client, make)
        finally:
            client.run("wg-quick", "down", conf, check=False)  # or wireguard-go outlives us
    except BaseException:
        for name, m in machines.items():
            print(f"-- {name}\n{m.journal()}", file=sys.stderr)
        raise
    finally:
        for thing in reversed(open_):
            thing.close()


def main():
    packages = [Path(p) for p in sys.argv[1:] if "-dbgsym_" not in p]
    assert len(packages) == 2, f"the two packages, not {packages}"
    tell(packages, survive_a_failover)
    tell(packages, a_third_member_costs_nobody_anything)


main()
