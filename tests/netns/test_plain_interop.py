"""guardmountd IFNAME against wireguard-go, on one cable."""

import time

import pytest

from audit import DATA, message_type
from netns import in_netns, ip_batch, run_in, wait_until
from plain import GUARDMOUNTD, PORT, PlainNet, WIREGUARD_GO, connect, endpoint
from probes import Probe

FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])


@pytest.fixture
def net():
    with PlainNet() as n:
        yield n


@FAMILIES
@pytest.mark.parametrize("with_psk", [False, True], ids=["plain", "psk"])
@pytest.mark.parametrize("initiator", ["ours", "stock"])
def test_either_side_initiates(net, family, with_psk, initiator):
    psk = run_in(net.left.ns, ["wg", "genpsk"]).strip() if with_psk else None
    ours, stock = connect(net, family, psk, initiator)
    first, second = (ours, stock) if initiator == "ours" else (stock, ours)
    assert first.pings(second, timeout=3)
    assert second.pings(first, count=3)
    assert first.pings(second, count=3, size=1372)       # a full packet, padding stops at the MTU
    for one, other in ((ours, stock), (stock, ours)):
        assert time.time() - one.handshake_at(other) < 10
        assert all(n > 3000 for n in one.transfer(other))


def test_two_of_ours(net):
    a, b = net.left.start(GUARDMOUNTD), net.right.start(GUARDMOUNTD)
    a.configure(PORT, [(b, endpoint(b.outside[0]), None)])
    b.configure(PORT, [(a, endpoint(a.outside[0]), None)])
    assert a.pings(b, count=3, timeout=3) and b.pings(a, count=3)


def test_a_wrong_psk_gets_no_session(net):
    ours, stock = connect(net, 0, run_in(net.left.ns, ["wg", "genpsk"]).strip())
    stock.wg("set", "peer", ours.public, "preshared-key", "/dev/stdin",
             input=run_in(net.left.ns, ["wg", "genpsk"]))
    assert not stock.pings(ours)
    assert ours.handshake_at(stock) == 0 and stock.handshake_at(ours) == 0


def test_an_unknown_peer_gets_no_answer(net):
    ours, stock = connect(net, 0)
    ours.wg("set", "peer", stock.public, "remove")
    assert not stock.pings(ours)
    assert stock.transfer(ours)[0] == 0, "not one byte for a stranger"


def test_a_source_that_is_not_allowed_is_dropped(net):
    ours, stock = connect(net, 0)
    assert stock.pings(ours, timeout=3)
    ip_batch(stock.ns, [f"addr add 10.51.0.77/24 dev {stock.ifname}"])
    out = run_in(stock.ns, ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "-I", "10.51.0.77",
                            ours.inside[0]], check=False)
    assert "100% packet loss" in out
    assert stock.pings(ours), "the allowed one still passes"


@FAMILIES
def test_a_client_that_roams_is_followed_at_its_first_packet(net, family):
    ours, stock = connect(net, family)
    assert stock.pings(ours, timeout=3)
    before = ours.handshake_at(stock)
    old, new = stock.outside[family], stock.second[family]
    bits = 64 if family else 24
    ip_batch(stock.ns, [f"addr add {new}/{bits} dev eth0{' nodad' if family else ''}",
                        f"addr del {old}/{bits} dev eth0"])
    # wireguard-go would cling to its old source address on new kernels: see Lab.roam_client().
    stock.wg("set", "peer", ours.public, "endpoint", endpoint(ours.outside[family]))
    assert stock.pings(ours, timeout=2)
    assert new in ours.show("endpoints", stock)
    assert ours.handshake_at(stock) == before, "roaming needs no handshake"
    assert ours.pings(stock)


@FAMILIES
def test_answers_leave_from_the_address_they_were_sent_to(net, family):
    """The hub has two addresses; the client speaks to the second."""
    bits = 64 if family else 24
    second = net.left.second[family]
    ip_batch(net.left.ns, [f"addr add {second}/{bits} dev eth0{' nodad' if family else ''}"])
    ours, stock = net.left.start(GUARDMOUNTD), net.right.start(WIREGUARD_GO)
    ours.configure(PORT, [(stock, None, None)])
    stock.configure(PORT, [(ours, endpoint(second), None)])
    assert stock.pings(ours, count=3, timeout=3) and ours.pings(stock)
    assert second in stock.show("endpoints", ours), "the client would follow another source"


@FAMILIES
def test_when_that_address_goes_away_traffic_goes_on_from_another(net, family):
    bits = 64 if family else 24
    second, first = net.left.second[family], net.left.outside[family]
    ip_batch(net.left.ns, [f"addr add {second}/{bits} dev eth0{' nodad' if family else ''}"])
    ours, stock = net.left.start(GUARDMOUNTD), net.right.start(WIREGUARD_GO)
    ours.configure(PORT, [(stock, None, None)])
    stock.configure(PORT, [(ours, endpoint(second), None)])
    assert stock.pings(ours, timeout=3)
    ip_batch(net.left.ns, [f"addr del {second}/{bits} dev eth0"])
    wait_until(lambda: ours.pings(stock), 5, "the hub does not send from its other address")
    assert first in stock.show("endpoints", ours)
    assert stock.pings(ours)


def test_a_new_private_key_while_running(net):
    ours, stock = connect(net, 0, both_known=True)
    assert stock.pings(ours, timeout=3)
    key = run_in(ours.ns, ["wg", "genkey"]).strip()
    ours.wg("set", "private-key", "/dev/stdin", input=key + "\n")
    ours.public = run_in(ours.ns, ["wg", "pubkey"], input=key + "\n").strip()
    assert ours.wg("show", "public-key").strip() == ours.public
    stock.configure(PORT, [(ours, endpoint(ours.outside[0]), None)])
    wait_until(lambda: stock.pings(ours), 10, "the new key does not work")


def test_a_new_port_while_running(net):
    ours, stock = connect(net, 0, both_known=True)
    assert stock.pings(ours, timeout=3)
    ours.wg("set", "listen-port", PORT + 7)
    assert ours.pings(stock, timeout=3), "the client follows the hub's new port"
    assert stock.show("endpoints", ours).endswith(f":{PORT + 7}")
    assert stock.pings(ours)


def test_a_hundred_peers_come_at_once(net):
    """One tunnel each way is not a hub: many keys, one interface, all served."""
    ours, stock = connect(net, 0)
    others = "".join(f"[Peer]\nPublicKey = {_public(net)}\nAllowedIPs = 10.51.1.{n}/32\n"
                     for n in range(1, 101))
    ours.wg("addconf", "/dev/stdin", input=others)
    assert len(ours.wg("show", "peers").split()) == 101
    assert stock.pings(ours, timeout=3)


def _public(net):
    return run_in(net.left.ns, ["sh", "-c", "wg genkey | wg pubkey"]).strip()


def test_rubbish_on_the_port_harms_nobody(net):
    import os
    import socket
    ours, stock = connect(net, 0)
    assert stock.pings(ours, timeout=3)
    with in_netns(stock.ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hub = (ours.outside[0], PORT)
    for kind, length in ((1, 148), (2, 92), (3, 64), (4, 32), (4, 80), (9, 40)):
        for size in (0, 1, 3, 4, 15, 16, 31, length - 1, length, length + 1, 1400, 60000):
            payload = bytes([kind, 0, 0, 0]) + os.urandom(max(0, size))
            s.sendto(payload[:size], hub)
    s.close()
    assert stock.pings(ours, count=3) and ours.process.alive()


def test_a_handshake_flood_does_not_stop_the_tunnel(net):
    """Initiations of a stranger with a good mac1: they cost work, the session goes on."""
    import hashlib
    import os
    import base64
    import socket
    ours, stock = connect(net, 0)
    assert stock.pings(ours, timeout=3)
    mac1_key = hashlib.blake2s(b"mac1----" + base64.b64decode(ours.public)).digest()
    with in_netns(stock.ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe = Probe.start("ping", stock.ns, ours.ns, ours.inside[0]).wait_ready()
    started = time.time()
    while time.time() < started + 3:
        for _ in range(50):
            head = b"\1\0\0\0" + os.urandom(112)
            mac1 = hashlib.blake2s(head, key=mac1_key, digest_size=16).digest()
            s.sendto(head + mac1 + bytes(16), (ours.outside[0], PORT))
        time.sleep(0.002)
    s.close()
    result = probe.stop().result(started)
    probe.discard()
    assert result.recovered and result.gap < 1.0, str(result)


def test_only_wireguard_leaves_and_counters_start_at_zero(net):
    """On the wire ours looks like any WireGuard: no fingerprint without a failover."""
    import os
    import struct
    from capture import Capture, PcapReader
    from audit import parse_udp, split_offloaded
    path = os.path.join(net.dir, "wire.pcap")
    capture = Capture(net.right.ns, {"eth0": path})
    ours, stock = connect(net, 0)
    assert stock.pings(ours, count=3, timeout=3)
    time.sleep(0.2)
    assert capture.stop()
    seen = {}
    for when, frame in PcapReader(path).new():
        d = parse_udp(when, frame)
        if d and d.source == (ours.outside[0], PORT):
            for message in split_offloaded(d.payload):
                assert message_type(message), message.hex()
                if message_type(message) == DATA:
                    receiver, counter = struct.unpack_from("<IQ", message, 4)
                    seen.setdefault(receiver, []).append(counter)
    assert len(seen) == 1
    counters = next(iter(seen.values()))
    assert sorted(counters) == list(range(len(counters))) and len(counters) >= 6
