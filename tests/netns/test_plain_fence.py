"""The fence between groups, on a member alone: three clients, a network of two servers behind it.

    alice 10.77.0.2  bob 10.77.0.3   of the group contractors
    carl  10.77.0.4                  of no group
    hub   10.77.0.1
    server                           192.0.2.10 (books), 198.51.100.10 (safe)
"""

import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from member import LoneMember
from netns import (add_netns, delete_netns, end_process, in_netns, ip_batch, run_in,
                   socket_answers, spawn, wait_until, wg_keypair, wireguard_socket)
from plain import LANE, WIREGUARD_GO

PREFIX = f"gmf{LANE}-"
HUB = f"gmf{LANE}hub"
VIP = "10.60.1.100"
BOOKS, SAFE = "192.0.2.10", "198.51.100.10"
PATIENCE_S = 10


def echo(server):
    """Answers what is said on any connection, until the server is closed."""
    def talk(connection):
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)

    while True:
        try:
            threading.Thread(target=talk, args=server.accept()[:1], daemon=True).start()
        except OSError:
            return


def answers(connection):
    connection.settimeout(0.5)
    try:
        connection.sendall(b"?")
        return connection.recv(1) == b"?"
    except OSError:
        return False


class Client:
    def __init__(self, house, name, number):
        self.ns, self.name, self.ifname = PREFIX + name, name, f"gmf{LANE}{name}"
        self.address = f"10.77.0.{number}"
        self.private, self.public = wg_keypair()
        house.ask("peer", "add", name, "--pubkey", self.public, "--allowed-ips", self.address)
        ip_batch(house.ns, [f"link add {name} type veth peer name eth0 netns {self.ns}",
                            f"link set {name} master wan up"])
        ip_batch(self.ns, [f"addr add 10.60.1.{number}/24 dev eth0", "link set eth0 up"])
        self.process = spawn([WIREGUARD_GO, "-f", self.ifname], self.ns, house.home / name)
        wait_until(lambda: socket_answers(wireguard_socket(self.ifname)), PATIENCE_S, name)
        run_in(self.ns, ["wg", "setconf", self.ifname, "/dev/stdin"], input=f"""[Interface]
PrivateKey = {self.private}
[Peer]
PublicKey = {house.hub['SyncPublicKey']}
AllowedIPs = 0.0.0.0/0
Endpoint = {VIP}:51820
PersistentKeepalive = 1
""")
        ip_batch(self.ns, [f"addr add {self.address}/24 dev {self.ifname}",
                           f"link set {self.ifname} up",
                           f"route add 192.0.2.0/24 dev {self.ifname}",
                           f"route add 198.51.100.0/24 dev {self.ifname}"])

    def reaches(self, address):
        return ", 0% packet loss" in run_in(self.ns, ["ping", "-n", "-c1", "-W0.3", address],
                                            check=False)

    def connect(self, address):
        with in_netns(self.ns):
            return socket.create_connection((address, 7), timeout=2)


class House(LoneMember):
    NAMES = ("hub", "lan", "alice", "bob", "carl")

    def __init__(self, home):
        super().__init__(home, PREFIX + "hub", HUB, f"{VIP}/24", "wan")
        self.clients, self.server = {}, None

    def build(self):
        for name in self.NAMES:
            add_netns(PREFIX + name)
        run_in(self.ns, ["sysctl", "-qw", "net.ipv4.ip_forward=1",
                         "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"])
        lan = PREFIX + "lan"
        # A bridge without an address of its own takes its ports', and clients know the one before.
        ip_batch(self.ns, ["link set lo up", "link add wan address 02:00:00:00:00:01 type bridge",
                           "link set wan up",
                           f"link add lan type veth peer name eth0 netns {lan}",
                           "addr add 192.0.2.1/24 dev lan", "addr add 198.51.100.1/24 dev lan",
                           "link set lan up"])
        ip_batch(lan, [f"addr add {BOOKS}/24 dev eth0", f"addr add {SAFE}/24 dev eth0",
                       "link set eth0 up", "route add default via 192.0.2.1"])
        self.start("-c", str(self.conf))
        wait_until((self.home / "run/control.sock").exists, PATIENCE_S, "no control socket")
        self.keepalived("MASTER")
        wait_until(lambda: "active" in self.ask("status"), PATIENCE_S, "no VIP")
        for number, name in enumerate(("alice", "bob", "carl"), 2):
            self.clients[name] = Client(self, name, number)
        with in_netns(lan):
            self.server = socket.create_server(("0.0.0.0", 7))
        threading.Thread(target=echo, args=[self.server], daemon=True).start()
        for client in self.clients.values():
            wait_until(lambda: client.reaches(BOOKS), PATIENCE_S,
                       lambda: f"{client.name} has no tunnel: {self.ask('status', '--peers')}")

    def destroy(self):
        for client in self.clients.values():
            end_process(client.process)
        if self.server:
            self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()
        self.stop()
        for name in self.NAMES:
            delete_netns(PREFIX + name)

    def track(self):
        """Rules of somebody else make the kernel track connections."""
        run_in(self.ns, ["nft", "add table inet mine; add chain inet mine c { type filter hook"
                                " forward priority 0; }; add rule inet mine c ct state new accept"])

    def fence(self):
        return "guardmount_1" in run_in(self.ns, ["nft", "list", "tables"])

    def passed_on(self, sender, to):
        """Does what comes from the LAN with the address of @sender get to @to?"""
        def echos():
            with in_netns(to.ns), open("/proc/net/snmp") as f:
                names, values = [line.split() for line in f if line.startswith("Icmp:")]
            return int(values[names.index("InEchos")])

        before, lan = echos(), PREFIX + "lan"
        ip_batch(lan, [f"addr add {sender.address}/32 dev eth0"])
        run_in(lan, ["ping", "-n", "-c1", "-W0.3", "-I", sender.address, to.address], check=False)
        ip_batch(lan, [f"addr del {sender.address}/32 dev eth0"])
        return echos() > before

    def connections(self, address):
        with in_netns(self.ns), open("/proc/net/nf_conntrack") as f:
            return [line for line in f if f"={address} " in line]


@pytest.fixture(scope="module")
def house():
    h = House(Path(tempfile.mkdtemp(prefix="gm-fence-")))
    try:
        h.build()
        yield h
    finally:
        h.destroy()
        shutil.rmtree(h.home)


def settle(house, what, *wants):
    """(client, address, reached) hold, soon after a change."""
    def differ():
        return [(c.name, address) for c, address, reached in wants if c.reaches(address) != reached]
    wait_until(lambda: not differ(), PATIENCE_S, lambda: f"{what}: not so: {differ()}")


def test_an_isolated_group_reaches_its_networks_and_nobody_else(house):
    alice, bob, carl = (house.clients[n] for n in ("alice", "bob", "carl"))
    house.ask("group", "add", "contractors")
    for name in ("alice", "bob"):
        house.ask("peer", "set", name, "--group", "contractors")
    settle(house, "open", *((alice, a, True) for a in (BOOKS, SAFE, bob.address, carl.address,
                                                       "10.77.0.1")))
    assert not house.fence()
    house.track()
    with alice.connect(BOOKS) as kept, alice.connect(SAFE) as ended, \
            carl.connect(SAFE) as others:
        house.ask("group", "set", "contractors", "--policy", "isolate",
                  "--network", "192.0.2.0/24")
        settle(house, "isolated", (alice, BOOKS, True), (alice, SAFE, False),
               (alice, carl.address, False), (alice, bob.address, False),
               (alice, "10.77.0.1", False), (bob, BOOKS, True), (bob, SAFE, False),
               (carl, SAFE, True), (carl, BOOKS, True), (carl, "10.77.0.1", True),
               (carl, alice.address, True))              # it may answer
        assert "it reaches 192.0.2.0/24 and nothing else" in house.ask("why", "alice")
        assert answers(kept) and answers(others) and not answers(ended)

    # Other rules come and go, and it stays.
    run_in(house.ns, ["nft", "flush", "ruleset"])
    assert house.fence() and not alice.reaches(SAFE)

    # All addresses of the tunnel listed: its own peers, never others'.
    house.ask("group", "set", "contractors", "--network", "10.77.0.0/24")
    settle(house, "listed", (alice, bob.address, True), (alice, carl.address, False),
           (alice, "10.77.0.1", True), (alice, BOOKS, False))
    # Another member, on the LAN, passes on what alice says there.
    assert house.passed_on(alice, bob) and not house.passed_on(alice, carl)
    # A peer of no group that comes while there is a fence.
    house.ask("peer", "set", "bob", "--group", "none")
    settle(house, "bob left", (bob, SAFE, True), (bob, carl.address, True),
           (alice, bob.address, False))
    house.ask("group", "set", "contractors", "--policy", "open")
    settle(house, "open again", (alice, carl.address, True), (alice, SAFE, True))
    assert not house.fence()


def test_a_member_that_cannot_keep_groups_apart_gives_its_vip_away(house):
    health = house.home / "run/health"
    assert health.exists()
    # The name is taken, by a program that owns it as we would.
    other = subprocess.Popen(["ip", "netns", "exec", house.ns, "nft", "-i"], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        other.stdin.write("add table inet guardmount_1 { flags owner; }\n")
        other.stdin.flush()
        wait_until(house.fence, 2, "no table of another")
        house.ask("group", "add", "sealed", "--policy", "isolate")
        wait_until(lambda: "fault" in house.ask("status"), 2, lambda: house.ask("status"))
        assert "groups cannot be kept apart here" in house.ask("status")
        wait_until(lambda: not health.exists(), 2, "still healthy")
    finally:
        other.kill()
        other.wait()
    # It is tried again.
    wait_until(house.fence, 2, "no table of ours")
    wait_until(health.exists, 2, "not fit again")
    assert "kept apart" not in house.ask("status")
    house.ask("group", "remove", "sealed")
    wait_until(lambda: not house.fence(), 2, "the table stays")


def test_revoking_a_peer_ends_its_connections_and_no_others(house):
    alice, carl = house.clients["alice"], house.clients["carl"]
    house.track()
    with alice.connect(BOOKS), carl.connect(SAFE):
        assert house.connections(alice.address) and house.connections(carl.address)
        house.ask("peer", "revoke", "alice")
        wait_until(lambda: not house.connections(alice.address), 2,
                   lambda: house.connections(alice.address))
        assert house.connections(carl.address)
    assert not house.fence()
