"""Resident memory of a hub that has peers and no traffic."""

import base64
import hashlib
import time

from net import memory_kib, require_alive
from netns import LabError

COUNTS = (1, 1000, 50000, 100000)
_SETTLE_S = 1.0


def _peers(first, last):
    """Any 32 bytes are a public key, but hash tables may count on chance in them."""
    return "".join(
        f"[Peer]\nPublicKey = {_key(n)}\n"
        f"AllowedIPs = 10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32\n"
        for n in range(first, last))


def _key(number):
    return base64.b64encode(hashlib.blake2s(number.to_bytes(4, "big")).digest()).decode()


def memory_group(net, seconds):
    """Of a hub that nobody connects to. One that cannot hold so many peers has fewer figures."""
    figures, have = {}, 0
    for count in COUNTS:
        started = time.monotonic()
        try:
            net.configure_hub(_peers(have, count))
        except LabError:
            if have < 2:
                raise
            break
        took = time.monotonic() - started
        require_alive(net.hub, "the hub")
        time.sleep(_SETTLE_S)
        figures[f"memory.{count}_mib"] = memory_kib(net.hub) / 1024
        if have >= 2:
            figures["memory.configure_us"] = took * 1e6 / (count - have)
        have = count
    grown = figures[f"memory.{have}_mib"] - figures[f"memory.{COUNTS[0]}_mib"]
    figures["memory.peer_bytes"] = grown * (1 << 20) / (have - COUNTS[0])
    return figures
