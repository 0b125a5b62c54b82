#!/usr/bin/python3
"""Record every frame that passes some switch ports, one pcap file (nanoseconds) a port.

Runs as a process of its own, so that neither the tests nor the probes disturb its clock:

    capture.py NETNS PORT=FILE [PORT=FILE ...]

prints one line "ready" when all ports are being recorded and ends on SIGTERM, or when its
standard input is closed. The times are the kernel's. A frame that leaves through the port and one
that enters by it are both recorded; who sent it is told by its source MAC address.
"""

import os
import select
import signal
import socket
import struct
import sys
import time

from netns import LabError, end_process, in_netns, spawn

_PCAP_MAGIC_NS, _LINKTYPE_ETHERNET = 0xA1B23C4D, 1
_FILE_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 35, 33, 26
_SOL_PACKET, _PACKET_STATISTICS, _ETH_P_ALL = 263, 6, 3
_RECEIVE_BUFFER = 32 << 20
_FRAME_MAX = 1 << 18
_BATCH = 256


# ---------------------------------------------------------------- files

class PcapWriter:
    def __init__(self, path):
        self._file = open(path, "wb")
        self._file.write(_FILE_HEADER.pack(_PCAP_MAGIC_NS, 2, 4, 0, 0, _FRAME_MAX,
                                           _LINKTYPE_ETHERNET))
        self._file.flush()

    def write(self, when, frame):
        seconds, nanoseconds = int(when), int((when - int(when)) * 1e9)
        self._file.write(_RECORD_HEADER.pack(seconds, nanoseconds, len(frame), len(frame)))
        self._file.write(frame)

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()


class PcapReader:
    """Reads a file that may still be growing: each call of new() gives what came since the last."""

    def __init__(self, path):
        self.path = str(path)
        self._file = None

    def new(self):
        """Yield (time, frame). A record that is not complete yet waits for the next call."""
        if self._file is None:
            self._file = open(self.path, "rb")
            header = self._file.read(_FILE_HEADER.size)
            if len(header) < _FILE_HEADER.size or \
                    _FILE_HEADER.unpack(header)[0] != _PCAP_MAGIC_NS:
                self._file.close()
                self._file = None
                raise LabError(f"{self.path}: not a capture with nanoseconds")
        while True:
            at = self._file.tell()
            header = self._file.read(_RECORD_HEADER.size)
            if len(header) == _RECORD_HEADER.size:
                seconds, nanoseconds, kept, _ = _RECORD_HEADER.unpack(header)
                frame = self._file.read(kept)
                if len(frame) == kept:
                    yield seconds + nanoseconds / 1e9, frame
                    continue
            self._file.seek(at)
            return


# ---------------------------------------------------------------- the recording process

class _Port:
    def __init__(self, ns, name, path):
        with in_netns(ns):
            # Protocol 0 until it is bound to the port: not one frame of other ports.
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.name = name
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.writer = PcapWriter(path)
        self.socket.bind((name, _ETH_P_ALL))

    def drain(self):
        for _ in range(_BATCH):
            try:
                frame, ancillary, _, _ = self.socket.recvmsg(_FRAME_MAX, 64)
            except BlockingIOError:
                break
            except OSError:      # the port went down: the socket reports it once and lives on
                continue
            when = time.time()
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", data[:16])
                    when = seconds + nanoseconds / 1e9
            self.writer.write(when, frame)
        self.writer.flush()

    def lost(self):
        data = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return struct.unpack("II", data)[1]


def main(argv):
    ns, ports = argv[1], [_Port(argv[1], *a.split("=", 1)) for a in argv[2:]]
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    by_fd = {p.socket.fileno(): p for p in ports}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    poll.register(0, 0)          # only POLLHUP: whoever started us is gone
    print("ready", flush=True)
    while not ending:
        for fd, event in poll.poll(200):
            if fd == 0:
                ending.append(True)
            else:
                by_fd[fd].drain()
    for port in ports:
        port.drain()
        port.writer.close()
    lost = sum(p.lost() for p in ports)
    if lost:
        print(f"{ns}: the kernel lost {lost} frames", file=sys.stderr)
    return 1 if lost else 0


# ---------------------------------------------------------------- starting it

class Capture:
    """The recording of some ports, as seen by whoever wants it done."""

    def __init__(self, ns, files, env=None):
        """@files: {port: path}"""
        self.files = {port: str(path) for port, path in files.items()}
        read_end, write_end = os.pipe()
        self._keep_alive = os.pipe()
        try:
            self.process = spawn([sys.executable, os.path.abspath(__file__), ns,
                                  *(f"{p}={f}" for p, f in self.files.items())],
                                 env=env, stdin=self._keep_alive[0], stdout=write_end,
                                 stderr=None)
            os.close(write_end)
            with os.fdopen(read_end) as answer:
                if not select.select([answer], [], [], 10)[0] or answer.readline() != "ready\n":
                    raise LabError(f"the capture in {ns} did not start")
        finally:
            os.close(self._keep_alive[0])

    def stop(self):
        """True: complete, the kernel lost no frame."""
        if self._keep_alive is None:
            return True
        os.close(self._keep_alive[1])
        self._keep_alive = None
        if not self.process.wait(5):
            end_process(self.process)
        return self.process.exit_status() == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
