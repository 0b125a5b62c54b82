"""Who holds the floating addresses, and since when: told by the kernels themselves (netlink)."""

import socket
import struct
import threading
import time

from netns import in_netns

_NETLINK_ROUTE, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0, 0x10, 0x100
_RTM_NEWADDR, _RTM_DELADDR = 20, 21
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
MOMENT_S = 0.005


def parse_address_events(data):
    """Yield (came, address) of a netlink datagram."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 16:
            return
        if kind in (_RTM_NEWADDR, _RTM_DELADDR):
            family = data[at + 16]
            position, found = at + 16 + 8, {}
            while position + 4 <= at + length:
                size, name = struct.unpack_from("=HH", data, position)
                if size < 4:
                    break
                found[name] = data[position + 4:position + size]
                position += (size + 3) & ~3
            raw = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
            if raw is not None and family in (socket.AF_INET, socket.AF_INET6):
                yield kind == _RTM_NEWADDR, socket.inet_ntop(family, raw)
        at += (length + 3) & ~3


class OwnerWatch:
    """Follows one address on all members. `events` grows: (time, member name, came)."""

    def __init__(self, lab, address, on_event=lambda when, member, came: None):
        self.address, self.on_event, self.events = address, on_event, []
        self._ending = threading.Event()
        now = time.time()
        for m in lab.holders():
            self.events.append((now, m.name, True))
        self._threads = [threading.Thread(target=self._follow, args=(m,), daemon=True)
                         for m in lab.members]
        for t in self._threads:
            t.start()

    def _follow(self, m):
        with in_netns(m.netns):
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
        s.bind((0, _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        s.settimeout(0.2)
        while not self._ending.is_set():
            try:
                data = s.recv(65536)
            except OSError:               # time to look whether we are to end; or an overrun
                continue
            when = time.time()
            for came, address in parse_address_events(data):
                if address == self.address:
                    self.note(when, m.name, came)
        s.close()

    def note(self, when, member, came):
        """Also for what netlink cannot tell: a machine without power."""
        self.events.append((when, member, came))
        self.on_event(when, member, came)

    def spans(self, end):
        """[(member, from, to)], in order of their beginning."""
        since, spans = {}, []
        for when, member, came in sorted(self.events):
            if came:
                since.setdefault(member, when)
            elif member in since:
                spans.append((member, since.pop(member), when))
        spans += [(member, start, end) for member, start in since.items()]
        # A boot clears addresses one by one: the kernel announces the promoted one for an instant.
        return sorted((s for s in spans if s[2] - s[1] > MOMENT_S), key=lambda s: s[1])

    def stop(self):
        self._ending.set()
        for t in self._threads:
            t.join(2)
