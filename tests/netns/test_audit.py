"""The audit itself: it must find what is planted, and nothing in an honest capture."""

import socket
import struct

import pytest

from audit import Audit, Port, parse_udp, split_offloaded
from capture import PcapWriter

MAC = {"m1": bytes.fromhex("020000000001"), "m2": bytes.fromhex("020000000002"),
       "client": bytes.fromhex("0200000000c1")}
VIP, CLIENT = ("10.60.1.100", 51820), ("10.60.1.11", 40000)
VIP6, CLIENT6 = ("fd60:1::100", 51820), ("fd60:1::11", 40000)
RECEIVER = 0xA1B2C3D4


def frame(source_mac, source, destination, payload):
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    if ":" in source[0]:
        a, b = (socket.inet_pton(socket.AF_INET6, x[0]) for x in (source, destination))
        packet, ethertype = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + a + b, 0x86DD
    else:
        a, b = (socket.inet_aton(x[0]) for x in (source, destination))
        packet, ethertype = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) \
            + a + b, 0x0800
    return MAC["client"] + source_mac + struct.pack("!H", ethertype) + packet + udp


def data(counter, body=b"x" * 32, receiver=RECEIVER):
    return b"\4\0\0\0" + struct.pack("<IQ", receiver, counter) + body


def taken_over(term, member, low):
    return term << 48 | member << 28 | low


@pytest.fixture
def wire(tmp_path):
    """wire(member, payload, ...) records a frame on that member's port; wire.audit() judges."""
    class Wire:
        def __init__(self):
            self.paths = {m: tmp_path / f"{m}.pcap" for m in ("m1", "m2")}
            self.writers = {m: PcapWriter(p) for m, p in self.paths.items()}
            self.now = 1000.0

        def __call__(self, member, payload, source=VIP, destination=CLIENT, mac=None):
            self.now += 0.001
            self.writers[member].write(self.now, frame(mac or MAC[member], source, destination,
                                                       payload))
            self.writers[member].flush()

        def audit(self):
            return Audit([Port(m, n, MAC[m], p) for n, (m, p) in
                          enumerate(self.paths.items(), 1)]).update()
    return Wire()


def kinds(audit):
    return [v.kind for v in audit.violations]


def test_an_honest_takeover_is_clean(wire):
    for n in range(5):
        wire("m1", data(n))
    for n in range(5):
        wire("m2", data(taken_over(3, 2, 0x1000000 + n)))
    audit = wire.audit()
    assert kinds(audit) == [] and audit.takeovers() == 1
    assert audit.data_from_hub == {"m1": 5, "m2": 5}


def test_reuse_by_another_member_is_found(wire):
    wire("m1", data(7, b"a" * 32))
    wire("m2", data(7, b"b" * 32))
    assert "reuse" in kinds(wire.audit())


def test_reuse_by_the_same_member_is_found(wire):
    wire("m1", data(7, b"a" * 32))
    wire("m1", data(7, b"b" * 32))
    assert kinds(wire.audit()) == ["reuse"]


def test_reuse_over_ipv6_is_found(wire):
    wire("m1", data(7, b"a" * 32), VIP6, CLIENT6)
    wire("m1", data(7, b"b" * 32))
    assert kinds(wire.audit()) == ["reuse"]


def test_one_different_bit_at_the_end_is_reuse(wire):
    wire("m1", data(7, b"a" * 1400))
    wire("m1", data(7, b"a" * 1399 + b"b"))
    assert kinds(wire.audit()) == ["reuse"]


def test_the_same_bytes_again_are_only_counted(wire):
    wire("m1", data(7))
    wire("m1", data(7))
    audit = wire.audit()
    assert kinds(audit) == [] and audit.repetitions == 1


def test_the_same_counter_on_another_key_is_no_reuse(wire):
    wire("m1", data(7, b"a" * 32))
    wire("m1", data(7, b"b" * 32, receiver=RECEIVER + 1))
    assert kinds(wire.audit()) == []


def test_reuse_inside_an_offloaded_run_is_found(wire):
    wire("m1", data(20, b"a" * 1200))
    wire("m1", b"".join(data(19 + n, bytes([n]) * 1200) for n in range(3)) + data(22))
    audit = wire.audit()
    assert kinds(audit) == ["reuse"] and audit.data_from_hub["m1"] == 5


def test_an_offloaded_run_with_a_repeated_counter_is_found(wire):
    wire("m1", data(1, b"a" * 1200) + data(1, b"b" * 1200))
    assert kinds(wire.audit()) == ["reuse"]


def test_a_long_datagram_that_cannot_be_cut_is_not_passed_over(wire):
    wire("m1", data(1, b"a" * 3000))
    assert kinds(wire.audit()) == ["opaque"]


def test_bytes_that_are_not_wireguard_from_the_hubs_port_are_found(wire):
    wire("m1", b"hello")
    assert kinds(wire.audit()) == ["opaque"]


def test_a_fragment_from_the_hub_is_not_passed_over(wire):
    whole = bytearray(frame(MAC["m1"], VIP, CLIENT, data(1)))
    whole[20] |= 0x20                                     # more fragments
    wire.writers["m1"].write(1001.0, bytes(whole))
    wire.writers["m1"].flush()
    assert kinds(wire.audit()) == ["opaque"]


def test_creator_space_of_another_member_is_found(wire):
    wire("m1", data(1))
    wire("m2", data(2))
    assert kinds(wire.audit()) == ["layout"]


def test_a_tag_of_another_member_is_found(wire):
    wire("m2", data(taken_over(3, 1, 5)))
    assert kinds(wire.audit()) == ["layout"]


def test_a_counter_past_the_limit_is_found(wire):
    wire("m1", data(1 << 60))
    assert kinds(wire.audit()) == ["layout"]


def test_what_clients_send_is_not_the_hubs(wire):
    wire("m1", data(7, b"a" * 32), CLIENT, VIP, MAC["client"])
    wire("m1", data(7, b"b" * 32), CLIENT, VIP, MAC["client"])
    audit = wire.audit()
    assert kinds(audit) == [] and audit.data_to_hub == {"m1": 2}


def test_handshakes_are_told_apart_by_who_began(wire):
    client_initiation = b"\1\0\0\0" + b"c" * 144
    wire("m1", client_initiation, CLIENT, VIP, MAC["client"])
    wire("m2", client_initiation, CLIENT, VIP, MAC["client"])   # flooded: the same packet
    wire("m1", b"\2\0\0\0" + b"r" * 88)
    wire("m2", b"\1\0\0\0" + b"i" * 144)
    wire("m2", b"\2\0\0\0" + b"s" * 88, CLIENT, VIP, MAC["client"])
    wire("m1", b"\3\0\0\0" + b"k" * 60)
    audit = wire.audit()
    assert kinds(audit) == []
    assert [(h.type, h.from_hub) for h in audit.handshakes_between(0, 2e9, hub_initiated=False)] \
        == [(1, False), (2, True)]
    assert [(h.type, h.from_hub) for h in audit.handshakes_between(0, 2e9, hub_initiated=True)] \
        == [(1, True), (2, False)]
    assert audit.handshakes_between(0, 1000.0) == []


def test_a_growing_capture_is_read_on_from_where_it_was(wire):
    wire("m1", data(1))
    audit = wire.audit()
    wire("m1", data(1, b"y" * 32))
    assert kinds(audit) == [] and kinds(audit.update()) == ["reuse"]
    assert kinds(audit.update()) == ["reuse"]


def test_half_a_record_waits_for_its_other_half(wire, tmp_path):
    wire("m1", data(1))
    whole = wire.paths["m1"].read_bytes()
    wire.paths["m1"].write_bytes(whole[:-10])
    audit = wire.audit()
    assert audit.data_from_hub["m1"] == 0
    wire.paths["m1"].write_bytes(whole)
    assert audit.update().data_from_hub["m1"] == 1


def test_single_messages_are_never_cut():
    message = data(1, b"\4\0\0\0" * 350)
    assert split_offloaded(message) == [message]


def test_other_frames_are_no_datagrams():
    udp = frame(MAC["m1"], VIP, CLIENT, b"x")
    assert parse_udp(0, udp) is not None
    assert parse_udp(0, udp[:30]) is None
    assert parse_udp(0, udp[:12] + b"\x08\x06" + udp[14:]) is None
    assert parse_udp(0, udp[:23] + b"\x06" + udp[24:]) is None
