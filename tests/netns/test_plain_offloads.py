"""Segmentation offloads: each on and off, at all sizes, against a stock client that has none.

The stock client hands its kernel one packet at a time without a word about checksums, so that
kernel verifies every one of ours and counts what is wrong.
"""

import hashlib
import os
import socket
import struct
import threading

import pytest

from netns import in_netns, ip_batch, run_in
from plain import GUARDMOUNTD, PORT, PlainNet, WIREGUARD_GO

TCP_BYTES = 3 << 20
UDP_SEGMENT = 103
BURSTS = 12
MODES = ["auto", "off", "udp-gro", "udp-gso", "vnet", "tso", "uso"]
CSUM_ERRORS = ("TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors")


@pytest.fixture
def net():
    with PlainNet() as n:
        yield n


def connect(net, program, offloads, mtu):
    """Ours with @offloads on the left, @program on the right; a cable that passes any packet."""
    for side in (net.left, net.right):
        ip_batch(side.ns, ["link set eth0 mtu 9100"])
    ours = net.left.start(GUARDMOUNTD, env={"GUARDMOUNT_OFFLOADS": offloads})
    other = net.right.start(program)
    ours.configure(PORT, [(other, f"{other.outside[0]}:{PORT}", None)])
    other.configure(PORT, [(ours, f"{ours.outside[0]}:{PORT}", None)])
    for side in (ours, other):
        ip_batch(side.ns, [f"link set {side.ifname} mtu {mtu}"])
    return ours, other


def families(mtu):
    return (0, 1) if mtu >= 1280 else (0,)


def sockets(kind, to, family):
    """One bound in @to's namespace, with a time limit."""
    with in_netns(to.ns):
        s = socket.socket((socket.AF_INET, socket.AF_INET6)[family], kind)
    s.bind((to.inside[family], 0))
    s.settimeout(10)
    return s


def tcp_carries(source, to, family):
    listener = sockets(socket.SOCK_STREAM, to, family)
    listener.listen()
    with in_netns(source.ns):
        sender = socket.socket((socket.AF_INET, socket.AF_INET6)[family], socket.SOCK_STREAM)
    sender.settimeout(10)
    sender.connect(listener.getsockname()[:2])
    receiver = listener.accept()[0]
    receiver.settimeout(10)
    data = os.urandom(TCP_BYTES + 1)

    def send():
        at, size = 0, 1
        while at < len(data):                    # odd lengths, small and large
            size = size * 7 % 200_003 + 1
            sender.sendall(data[at:at + size])
            at += size
        sender.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    seen = hashlib.sha256()
    while True:
        part = receiver.recv(1 << 16)
        if not part:
            break
        seen.update(part)
    thread.join()
    for s in (sender, receiver, listener):
        s.close()
    return seen.digest() == hashlib.sha256(data).digest()


def udp_carries(source, to, family, size, tos):
    """Bursts that the sender's kernel keeps in one piece as far as it can."""
    receiver = sockets(socket.SOCK_DGRAM, to, family)
    sender = sockets(socket.SOCK_DGRAM, source, family)
    level, recv_tos, set_tos = ((socket.IPPROTO_IPV6, 66, 67) if family
                                else (socket.IPPROTO_IP, 13, 1))
    receiver.setsockopt(level, recv_tos, 1)
    sender.setsockopt(level, set_tos, tos)
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    ok = True
    for n in range(min(BURSTS, 65000 // size - 1)):
        data = os.urandom(size * n + size // 2 + 1)
        sender.sendto(data, receiver.getsockname()[:2])
        pieces = [data[at:at + size] for at in range(0, len(data), size)]
        for piece in pieces:
            got, control, _, _ = receiver.recvmsg(1 << 16, 256)
            ok = ok and got == piece and control[0][2][0] == tos
    sender.close()
    receiver.close()
    return ok


def checksum_errors(side):
    counters = {}
    for line in run_in(side.ns, ["nstat", "-asz"]).splitlines():
        words = line.split()
        if len(words) > 1:
            counters[words[0]] = int(words[1])
    return sum(counters[name] for name in CSUM_ERRORS if name in counters)


def all_pass(one, other, mtu):
    for family in families(mtu):
        overhead = 48 if family else 28
        for a, b in ((one, other), (other, one)):
            assert tcp_carries(a, b, family), f"TCP, family {family}"
            for size in (1, 64, mtu - overhead - 1, mtu - overhead):
                assert udp_carries(a, b, family, size, 3), f"UDP {size}, family {family}"
            out = run_in(a.ns, ["ping", "-n", "-c", "3", "-i", "0.05", "-s", str(2 * mtu + 1),
                                "-W", "2", b.inside[family]], check=False)
            assert ", 0% packet loss" in out, "fragments"
    assert checksum_errors(one) == 0 and checksum_errors(other) == 0


@pytest.mark.parametrize("mtu", [576, 1280, 1420, 8920])
def test_everything_passes_with_all_offloads(net, mtu):
    ours, stock = connect(net, WIREGUARD_GO, "auto", mtu)
    assert ours.pings(stock, timeout=3) if mtu >= 1280 else True
    all_pass(ours, stock, mtu)


@pytest.mark.parametrize("offloads", MODES)
def test_everything_passes_with_each_offload_alone(net, offloads):
    ours, stock = connect(net, WIREGUARD_GO, offloads, 1420)
    assert ours.pings(stock, timeout=3)
    all_pass(ours, stock, 1420)


@pytest.mark.parametrize("mtu", [576, 8920])
def test_two_of_ours_with_all_offloads(net, mtu):
    ours, other = connect(net, GUARDMOUNTD, "auto", mtu)
    all_pass(ours, other, mtu)


def test_a_path_that_takes_no_segments_is_served_by_single_datagrams(net):
    """A path whose MTU is smaller than a message: the burst is refused, its datagrams are cut."""
    ours, stock = connect(net, WIREGUARD_GO, "auto", 1420)
    assert ours.pings(stock, timeout=3)
    for side in (ours, stock):
        ip_batch(side.ns, ["link set eth0 mtu 1400"])
    assert tcp_carries(ours, stock, 0)
    assert udp_carries(ours, stock, 0, 1392, 0)


def datagram(source, to, port, payload, wrong):
    """An IPv4 UDP packet; @wrong: its checksum is."""
    a, b = (socket.inet_aton(side.inside[0]) for side in (source, to))
    length = 8 + len(payload)
    head = struct.pack("!HHHH", 4242, port, length, 0)
    words = a + b + struct.pack("!HH", 17, length) + head + payload + bytes(len(payload) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    check = (~total & 0xffff) ^ (0x5555 if wrong else 0)
    return (struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0x4000, 64, 17, 0, a, b)
            + head[:6] + struct.pack("!H", check) + payload)


def test_a_checksum_that_is_wrong_inside_stays_wrong(net):
    ours, stock = connect(net, WIREGUARD_GO, "auto", 1420)
    assert ours.pings(stock, timeout=3)
    receiver = sockets(socket.SOCK_DGRAM, ours, 0)
    with in_netns(stock.ns):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    port = receiver.getsockname()[1]
    count = 60
    for n in range(count):
        wrong = n % 3 == 1
        payload = struct.pack("!II", n, wrong) + bytes(500)
        raw.sendto(datagram(stock, ours, port, payload, wrong), (ours.inside[0], 0))
    seen = [struct.unpack("!II", receiver.recv(2048)[:8]) for _ in range(count - count // 3)]
    assert [n for n, _ in seen] == [n for n in range(count) if n % 3 != 1]
    assert checksum_errors(ours) == count // 3
    raw.close()
    receiver.close()
