#!/usr/bin/python3
"""An audit of what a cluster put on the wire, from captures of every member's WAN port.

It shares no code with the engine: it parses frames by itself and knows only the message formats
that any WireGuard has, and the layout of send counters (docs: failover, section 3.2).

    audit.py MEMBER:MAC=FILE [MEMBER:MAC=FILE ...]

What it proves, over all members together:
  reuse    one (receiver index, counter) pair sent twice with different bytes: a nonce was used for
           two packets. (The same bytes again are a repetition, which is harmless.)
  layout   a counter with another member's tag, two members in creator space of one key, or a
           counter of 2^60 or more.
  opaque   a datagram from the hub's port that is not WireGuard, or cannot be taken apart.
It also lists handshake messages by time and direction.
"""

import hashlib
import socket
import struct
import sys
from collections import Counter
from dataclasses import dataclass

from capture import PcapReader

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
TYPE_NAMES = {INITIATION: "initiation", RESPONSE: "response", COOKIE: "cookie", DATA: "data"}
_FIXED_LENGTH = {INITIATION: 148, RESPONSE: 92, COOKIE: 64}
_DATA_MIN = 32
_ETHERTYPE_IPV4, _ETHERTYPE_IPV6, _UDP, _IPV6_FRAGMENT = 0x0800, 0x86DD, 17, 44
_LINK_MTU = 1500
CREATOR_TERM = 0


@dataclass(frozen=True)
class Datagram:
    time: float
    source_mac: bytes
    source: tuple        # (address, port)
    destination: tuple
    payload: bytes


@dataclass(frozen=True)
class Handshake:
    time: float
    type: int
    from_hub: bool
    member: str          # at whose port it was seen
    source: tuple
    destination: tuple
    sender: int          # sender's index, of types 1 and 2

    @property
    def hub_initiated(self):
        """Type 1 from the hub and the client's answer to it; a cookie is never counted."""
        return self.from_hub == (self.type == INITIATION)


@dataclass(frozen=True)
class Violation:
    kind: str
    time: float
    text: str

    def __str__(self):
        return f"{self.kind} at {self.time:.6f}: {self.text}"


# ---------------------------------------------------------------- taking frames apart

def parse_udp(when, frame):
    """The UDP datagram of an Ethernet frame, or None."""
    if len(frame) < 14:
        return None
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    packet = frame[14:]
    if ethertype == _ETHERTYPE_IPV4 and len(packet) >= 20:
        header, protocol = (packet[0] & 15) * 4, packet[9]
        if struct.unpack_from("!H", packet, 6)[0] & 0x3FFF:      # a fragment
            return None
        family, addresses, end = socket.AF_INET, (packet[12:16], packet[16:20]), \
            struct.unpack_from("!H", packet, 2)[0]
    elif ethertype == _ETHERTYPE_IPV6 and len(packet) >= 40:
        header, protocol = 40, packet[6]
        family, addresses, end = socket.AF_INET6, (packet[8:24], packet[24:40]), \
            40 + struct.unpack_from("!H", packet, 4)[0]
    else:
        return None
    if protocol != _UDP or len(packet) < header + 8:
        return None
    # An offloaded run may carry a length of 0 or one that the last NIC would have corrected.
    if end <= header + 8 or end > len(packet):
        end = len(packet)
    source_port, destination_port = struct.unpack_from("!HH", packet, header)
    source, destination = (socket.inet_ntop(family, a) for a in addresses)
    return Datagram(when, frame[6:12], (source, source_port), (destination, destination_port),
                    packet[header + 8:end])


def is_udp_fragment(frame):
    """Of a datagram in pieces; the hub's own never are (their headers name no port)."""
    if frame[12:14] == b"\x08\x00" and len(frame) >= 34:
        return frame[23] == _UDP and struct.unpack_from("!H", frame, 20)[0] & 0x3FFF != 0
    return frame[12:14] == b"\x86\xdd" and len(frame) >= 55 and frame[20] == _IPV6_FRAGMENT \
        and frame[54] == _UDP


def split_offloaded(payload):
    """A capture shows a segmentation-offloaded run (UDP_SEGMENT) as one datagram: cut it into
    the messages that leave. All but the last are of one length. None: it cannot be cut."""
    if len(payload) <= _LINK_MTU - 28 or payload[:4] != b"\4\0\0\0":
        return [payload]
    for same in (8, 4):          # first: same receiver index too
        head, start = payload[:same], payload.find(payload[:same], _DATA_MIN)
        while 0 < start <= _LINK_MTU - 28:
            pieces = [payload[i:i + start] for i in range(0, len(payload), start)]
            if len(pieces[-1]) >= _DATA_MIN and all(p[:same] == head for p in pieces):
                return pieces
            start = payload.find(head, start + 1)
    return None


# ---------------------------------------------------------------- the audit

@dataclass(frozen=True)
class Port:
    """A member's WAN port: its capture file, and the MAC address that is the member."""
    member: str
    member_id: int
    mac: bytes
    path: str


class Audit:
    """Feed it growing captures by update(); look at violations and handshakes at any time."""

    def __init__(self, ports, hub_port=51820):
        self._readers = [(port, PcapReader(port.path)) for port in ports]
        self._hub_macs = {port.mac for port in ports}
        self._hub_port = hub_port
        self._sent = {}              # (receiver, counter) -> (digest, member, time)
        self._creators = {}          # receiver -> member that sent term 0
        self._client_hellos = set()  # digests: a flooded frame reaches every port
        self.violations = []
        self.handshakes = []
        self.data_from_hub = Counter()     # member -> messages
        self.data_to_hub = Counter()       # member at whose port they arrived -> messages
        self.repetitions = 0               # same pair, same bytes
        self.terms = {}                    # receiver -> {(member, term): messages}

    def update(self):
        """Take in what the captures have gained. Returns self."""
        for port, reader in self._readers:
            for when, frame in reader.new():
                self._frame(port, when, frame)
        self.handshakes.sort(key=lambda h: h.time)
        return self

    def handshakes_between(self, start, end, hub_initiated=None, types=(INITIATION, RESPONSE)):
        return [h for h in self.handshakes if start <= h.time <= end and h.type in types
                and (hub_initiated is None or h.hub_initiated == hub_initiated)]

    def _frame(self, port, when, frame):
        datagram = parse_udp(when, frame)
        if datagram is None:
            if frame[6:12] == port.mac and is_udp_fragment(frame):
                self._violation("opaque", when, f"{port.member} sent a fragment")
            return
        if datagram.source_mac == port.mac:
            if datagram.source[1] == self._hub_port:
                self._from_hub(port, datagram)
        elif datagram.destination[1] == self._hub_port and \
                datagram.source_mac not in self._hub_macs:
            self._to_hub(port, datagram)

    def _from_hub(self, port, d):
        messages = split_offloaded(d.payload)
        if messages is None:
            self._violation("opaque", d.time, f"{port.member} sent {len(d.payload)} bytes that "
                            "are no run of equal messages")
            return
        for message in messages:
            kind = message_type(message)
            if kind == DATA:
                self._data(port, d, message)
            elif kind is not None:
                self._handshake(port, d, message, kind, from_hub=True)
            else:
                self._violation("opaque", d.time, f"{port.member} sent {len(message)} bytes from "
                                f"the hub's port to {d.destination} that are not WireGuard")

    def _to_hub(self, port, d):
        kind = message_type(d.payload)
        if kind == DATA:
            self.data_to_hub[port.member] += 1
        elif kind is not None:
            digest = hashlib.blake2b(d.payload, digest_size=16).digest()
            if digest not in self._client_hellos:
                self._client_hellos.add(digest)
                self._handshake(port, d, d.payload, kind, from_hub=False)

    def _handshake(self, port, d, message, kind, from_hub):
        sender = struct.unpack_from("<I", message, 4)[0]
        self.handshakes.append(Handshake(d.time, kind, from_hub, port.member, d.source,
                                         d.destination, sender))

    def _data(self, port, d, message):
        receiver, counter = struct.unpack_from("<IQ", message, 4)
        digest = hashlib.blake2b(message, digest_size=12).digest()
        self.data_from_hub[port.member] += 1
        first = self._sent.get((receiver, counter))
        if first is None:
            self._sent[receiver, counter] = (digest, port.member, d.time)
        elif first[0] == digest:
            self.repetitions += 1
        else:
            self._violation("reuse", d.time,
                            f"receiver {receiver:08x} counter {counter:#018x} sent by "
                            f"{port.member} to {d.destination[0]}, and with other bytes by "
                            f"{first[1]} {d.time - first[2]:.3f} s before")
        self._check_layout(port, d, receiver, counter)

    def _check_layout(self, port, d, receiver, counter):
        term, tag_member = counter >> 48 & 0xFFF, counter >> 28 & 0xF
        terms = self.terms.setdefault(receiver, Counter())
        terms[port.member, term] += 1
        where = f"receiver {receiver:08x} counter {counter:#018x} by {port.member}"
        if counter >> 60:
            self._violation("layout", d.time, f"{where}: 2^60 or more")
        elif term == CREATOR_TERM:
            creator = self._creators.setdefault(receiver, port.member)
            if creator != port.member:
                self._violation("layout", d.time, f"{where}: creator space of {creator}")
        elif tag_member != port.member_id:
            self._violation("layout", d.time, f"{where}: tag of member {tag_member}")

    def _violation(self, kind, when, text):
        self.violations.append(Violation(kind, when, text))

    def takeovers(self):
        """How many keys were sent on by more than one member."""
        return sum(1 for terms in self.terms.values() if len({m for m, _ in terms}) > 1)

    def summary(self):
        kinds = Counter(v.kind for v in self.violations)
        return (f"{sum(self.data_from_hub.values())} data messages from the hub on "
                f"{len(self.terms)} keys ({self.takeovers()} carried by more than one member), "
                f"{self.repetitions} repetitions, {len(self.handshakes)} handshake messages; "
                + (", ".join(f"{n} {k}" for k, n in kinds.items()) or "no violation"))


def message_type(message):
    """1..4 when @message has the form of a WireGuard message, else None."""
    if len(message) < 4 or message[1:4] != b"\0\0\0":
        return None
    kind = message[0]
    if kind == DATA:
        return DATA if len(message) >= _DATA_MIN else None
    return kind if _FIXED_LENGTH.get(kind) == len(message) else None


def main(argv):
    ports = []
    for number, argument in enumerate(argv[1:], 1):
        name, _, path = argument.partition("=")
        member, _, mac = name.partition(":")
        member_id = int("".join(c for c in member if c.isdigit()) or number)
        ports.append(Port(member, member_id, bytes.fromhex(mac.replace(":", "")), path))
    if not ports:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    audit = Audit(ports).update()
    for v in audit.violations:
        print(v)
    for h in audit.handshakes:
        side = "hub" if h.from_hub else "client"
        print(f"{h.time:.6f} {TYPE_NAMES[h.type]} from the {side} at {h.member}: "
              f"{h.source[0]} -> {h.destination[0]}")
    print(audit.summary())
    return 1 if audit.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
