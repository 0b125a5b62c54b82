#!/usr/bin/python3
"""Traffic that is watched: what goes out, what arrives, and when.

Each probe is a process of its own with one loop, so that its clock is not disturbed by whoever
runs it. It appends one record for each thing that it sends or receives to a file; the file can be
read while the probe runs. Times of received packets are the kernel's.

    probes.py KIND SOURCE_NETNS DESTINATION_NETNS ADDRESS LOG [INTERVAL_S [BLOCK]]

  ping   ICMP echo from the source's namespace; the kernel at ADDRESS answers
  udp    one way, source to destination; a datagram that arrives twice is seen
  tcp    one way, a paced stream; each read at the destination is an arrival

"up" and "down" are a matter of which end is called the source.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass

from netns import LabError, end_process, in_netns, spawn

_SO_TIMESTAMPNS = 35
_RECORD = struct.Struct("=cdI")              # "s" or "r", CLOCK_REALTIME, number (tcp: bytes)
_PAYLOAD = struct.Struct("!4sII")
_MAGIC = b"gmlp"
_TCP_BLOCK, _TCP_CONNECT_TIMEOUT_S = 1400, 15
_SPARSE_S = 0.05
DEFAULT_INTERVAL_S = {"ping": 0.01, "udp": 0.01, "tcp": 0.005}


# ---------------------------------------------------------------- the probing process

class _Log:
    def __init__(self, path):
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, kind, when, number):
        os.write(self._fd, _RECORD.pack(kind, when, number & 0xFFFFFFFF))


def _receive(sock):
    """(bytes, kernel's time)"""
    data, ancillary, _, _ = sock.recvmsg(65536, 64)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", value[:16])
            return data, seconds + nanoseconds / 1e9
    return data, time.time()


def _socket_in(ns, family, kind, protocol=0):
    with in_netns(ns):
        sock = socket.socket(family, kind, protocol)
    if kind != socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def payload_of(frame):
    """(probe, number) of what a probe sent, wherever it is in @frame; None when it is in none."""
    at = frame.find(_MAGIC)
    if at < 0 or at + _PAYLOAD.size > len(frame):
        return None
    _, number, ident = _PAYLOAD.unpack_from(frame, at)
    return ident, number


class _Ping:
    def __init__(self, source, _destination, address, _block):
        self.v6 = ":" in address
        self.sock = _socket_in(source, socket.AF_INET6 if self.v6 else socket.AF_INET,
                               socket.SOCK_RAW,
                               socket.IPPROTO_ICMPV6 if self.v6 else socket.IPPROTO_ICMP)
        self.sock.setblocking(False)
        self.address, self.id = address, os.getpid() & 0xFFFF

    def readers(self):
        return [self.sock]

    def send(self, number):
        kind = 128 if self.v6 else 8
        body = _PAYLOAD.pack(_MAGIC, number, self.id) + b"." * 44
        echo = struct.pack("!BBHHH", kind, 0, 0, self.id, number & 0xFFFF) + body
        if not self.v6:                                 # for IPv6 the kernel does it
            echo = echo[:2] + struct.pack("!H", _checksum(echo)) + echo[4:]
        self.sock.sendto(echo, (self.address, 0))

    def receive(self, _sock):
        data, when = _receive(self.sock)
        if not self.v6:
            data = data[(data[0] & 15) * 4:]
        if len(data) < 8 + _PAYLOAD.size or data[0] != (129 if self.v6 else 0):
            return None
        magic, number, ident = _PAYLOAD.unpack_from(data, 8)
        return (when, number) if magic == _MAGIC and ident == self.id else None


class _Udp:
    def __init__(self, source, destination, address, _block):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.id = os.getpid()
        self.inbound = _socket_in(destination, family, socket.SOCK_DGRAM)
        self.inbound.bind((address, 0))
        self.inbound.setblocking(False)
        self.address = self.inbound.getsockname()[:2]
        self.outbound = _socket_in(source, family, socket.SOCK_DGRAM)
        self.outbound.setblocking(False)

    def readers(self):
        return [self.inbound]

    def send(self, number):
        self.outbound.sendto(_PAYLOAD.pack(_MAGIC, number, self.id) + b"." * 52, self.address)

    def receive(self, _sock):
        data, when = _receive(self.inbound)
        magic, number, ident = _PAYLOAD.unpack_from(data)
        return (when, number) if magic == _MAGIC and ident == self.id else None


class _Tcp:
    def __init__(self, source, destination, address, block):
        self.block = b"z" * block
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = _socket_in(destination, family, socket.SOCK_STREAM)
        listener.bind((address, 0))
        listener.listen(1)
        listener.settimeout(_TCP_CONNECT_TIMEOUT_S)
        self.outbound = _socket_in(source, family, socket.SOCK_STREAM)
        self.outbound.settimeout(_TCP_CONNECT_TIMEOUT_S)
        self.outbound.connect(listener.getsockname()[:2])
        self.inbound, _ = listener.accept()
        listener.close()
        for sock in (self.inbound, self.outbound):
            sock.setblocking(False)

    def readers(self):
        return [self.inbound]

    def send(self, _number):
        with contextlib.suppress(BlockingIOError):     # a full pipe is part of the measurement
            self.outbound.send(self.block)

    def receive(self, _sock):
        data = self.inbound.recv(1 << 20)
        if not data:
            raise LabError("the stream was closed")
        return time.time(), len(data)


def main(argv):
    kind, source, destination, address, path = argv[1:6]
    interval = float(argv[6]) if len(argv) > 6 else DEFAULT_INTERVAL_S[kind]
    block = int(argv[7]) if len(argv) > 7 else _TCP_BLOCK
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    probe = {"ping": _Ping, "udp": _Udp, "tcp": _Tcp}[kind](source, destination, address, block)
    log = _Log(path)
    poll = select.poll()
    readers = {s.fileno(): s for s in probe.readers()}
    for fd in readers:
        poll.register(fd, select.POLLIN)
    poll.register(0, 0)                      # only POLLHUP: stop sending, then drain
    print("ready", flush=True)
    number, due, last_word = 0, time.monotonic(), None
    while not ending:
        now = time.monotonic()
        if last_word is None and now >= due:
            log.note(b"s", time.time(), number)
            with contextlib.suppress(OSError):         # no route, no buffer: a lost packet
                probe.send(number)
            number += 1
            due = max(due + interval, now)   # after a stall go on, do not catch up
        elif last_word is not None and now >= last_word:
            break
        wait = (last_word or due) - time.monotonic()
        for fd, event in poll.poll(max(0.0, wait * 1000)):
            if fd == 0:
                poll.unregister(0)
                last_word = time.monotonic() + 0.3
                continue
            with contextlib.suppress(BlockingIOError, OSError):
                arrival = probe.receive(readers[fd])
                if arrival is not None:
                    log.note(b"r", *arrival)
    return 0


# ---------------------------------------------------------------- reading and judging

@dataclass
class Result:
    """What one probe saw around one fault. Times in seconds."""
    kind: str
    silence: float          # longest time without an arrival that ended after the fault
    gap: float              # silence; for sparse streams without their own spacing
    lost: int               # packets sent and never received (tcp: 0)
    duplicates: int         # packets delivered more than once
    recovered: bool         # it flowed again before the watching ended
    back_at: float          # first arrival after the silence, seconds after the fault; or None
    arrivals: int
    sender_stall: float     # longest pause of the sender: more than a few ms is the machine's noise

    def __str__(self):
        state = "" if self.recovered else ", NOT RECOVERED"
        return (f"{self.kind}: gap {self.gap * 1000:.0f} ms, {self.lost} lost, "
                f"{self.duplicates} twice{state}")


class Probe:
    """One running probe. Use: p = Probe.start(...); fault; p.result(t0)"""

    @classmethod
    def start(cls, kind, source_ns, destination_ns, address, directory=None, interval=None,
              name=None, env=None, block=_TCP_BLOCK):
        self = cls()
        self.kind, self.name = kind, name or kind
        self.interval = interval or DEFAULT_INTERVAL_S[kind]
        fd, self.path = tempfile.mkstemp(prefix=f"probe-{kind}-", dir=directory)
        os.close(fd)
        read_end, write_end = os.pipe()
        stdin_read, self._stdin = os.pipe()
        try:
            self.process = spawn([sys.executable, os.path.abspath(__file__), kind, source_ns,
                                  destination_ns, address, self.path, self.interval, block],
                                 env=env, stdin=stdin_read, stdout=write_end, stderr=None)
        finally:
            os.close(write_end)
            os.close(stdin_read)
        self._answer = os.fdopen(read_end)
        return self

    def wait_ready(self, timeout=_TCP_CONNECT_TIMEOUT_S + 5):
        if self._answer is not None:
            good = select.select([self._answer], [], [], timeout)[0] and \
                self._answer.readline() == "ready\n"
            self._answer.close()
            self._answer = None
            if not good:
                self.stop()
                raise LabError(f"probe {self.name} did not start")
        return self

    def samples(self):
        """(sent [(time, number)], received [(time, number)]) up to now."""
        sent, received = [], []
        with open(self.path, "rb") as f:
            data = f.read()
        for kind, when, number in _RECORD.iter_unpack(data[:len(data) // _RECORD.size
                                                           * _RECORD.size]):
            (sent if kind == b"s" else received).append((when, number))
        return sent, received

    def last_arrival(self):
        """Time of the last arrival, or None; cheap enough to be called often."""
        with open(self.path, "rb") as f:
            end = f.seek(0, os.SEEK_END) // _RECORD.size
            for back in range(1, min(end, 200) + 1):
                f.seek((end - back) * _RECORD.size)
                kind, when, _ = _RECORD.unpack(f.read(_RECORD.size))
                if kind == b"r":
                    return when
        return None

    def stop_sending(self):
        """Send no more; what is on its way is still received for a moment. Does not wait."""
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    def stop(self):
        """Stop sending, receive what is still on its way, end."""
        self.stop_sending()
        if not self.process.wait(3.0):
            end_process(self.process)
        return self

    def discard(self):
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def result(self, fault, until=None):
        """@fault, @until: CLOCK_REALTIME. Judges arrivals in between; stop() it first for lost."""
        sent, received = self.samples()
        until = until or max([t for t, _ in sent], default=fault)
        return judge(self.name, sent, received, fault, until, self.interval,
                     stream=self.kind == "tcp")


def judge(name, sent, received, fault, until, interval, stream=False):
    """Longest silence that ended after @fault (or has not ended), losses and duplicates."""
    times = sorted(t for t, _ in received if t <= until + interval)
    before = [t for t in times if t < fault]
    after = [t for t in times if t >= fault]
    edges = ([before[-1]] if before else [fault]) + after
    silence, back = 0.0, None
    for a, b in zip(edges, edges[1:]):
        if b - a > silence:
            silence, back = b - a, b - fault
    tail = until - edges[-1]
    recovered = bool(after) and tail <= max(1.0, 3 * interval)
    if not recovered:
        silence, back = max(silence, tail), None
    numbers = [n for _, n in received]
    sending = [t for t, _ in sent if fault - 1.0 <= t <= until]
    arrived = set(numbers)
    return Result(
        kind=name, silence=silence,
        gap=max(0.0, silence - interval) if interval >= _SPARSE_S else silence,
        lost=0 if stream else sum(1 for t, n in sent if n not in arrived
                                  and (not before or t >= before[0]) and t <= until - 0.2),
        duplicates=0 if stream else len(numbers) - len(arrived),
        recovered=recovered, back_at=back, arrivals=len(received),
        sender_stall=max((b - a for a, b in zip(sending, sending[1:])), default=0.0))


def stop_all(probes):
    """Stop them together: each drains for a moment."""
    for p in probes:
        p.stop_sending()
    for p in probes:
        p.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
