"""Split brain with traffic on both sides: both halves serve, no nonce is used twice, nothing is
delivered twice, nobody is deaf for long, and a second after healing all is well."""

import time

import pytest

import plan
from divide import FAR_NS, Divide
from lab import ENV_MARK, LAB_DIR
from netns import wait_until
from plan import SERVER_NS
from probes import Probe, stop_all
from traffic import refresh_old_sessions

pytestmark = pytest.mark.long
MEMBERS, CLIENTS = 3, 6
MINUTE_S, SHORT_S = 60, 5
AFTER_S = 6
DEAF_S = 16.0               # a stock client's 15 s and its jitter
BELIEVE_S = 2.0             # VRRP needs a while to break
HEALED_WITHIN_S, BREAK_S = 1.0, 0.3
SYNC_LATER_S = 3.0          # back-off, a lost SYN and ARP can make a link take so long
INTERVAL_S = 0.02
CHANGES_SIDES_S = (20.0, 27.0)
CARRIED_MIN = 1000          # data messages of a half that works, and less in a short split


class Flows:
    """Pings of all clients, which live through it all, and one-way streams while it is divided."""

    def __init__(self, clients):
        self.pings = [self._start("ping", c.netns, SERVER_NS, plan.SERVER[0], c.name)
                      for c in clients]
        self.streams = []

    def _start(self, kind, source, destination, address, name):
        return Probe.start(kind, source, destination, address, LAB_DIR, INTERVAL_S, name,
                           {ENV_MARK: LAB_DIR})

    def one_way(self, source, destination, address):
        self.streams.append(self._start("udp", source, destination, address,
                                        f"{source} to {destination}"))

    def discard(self):
        for p in self.pings + self.streams:
            p.discard()


def silence(probe, begin, end):
    """The longest time without an arrival between @begin and @end."""
    edges = [begin, *sorted(t for t, _ in probe.samples()[1] if begin < t < end), end]
    return max(b - a for a, b in zip(edges, edges[1:]))


def live_divided(lab, divide, flows, seconds):
    """Two clients here, two there, two that change sides. Returns when it split, and healed."""
    here, there, moving = lab.clients[:2], lab.clients[2:4], lab.clients[4:]
    split = divide.split(there + moving[:1])
    wait_until(lambda: len(lab.holders()) == 2, BELIEVE_S, "one half has no owner")
    for (up, down), server in ((here, SERVER_NS), (there, FAR_NS)):
        flows.one_way(up.netns, server, plan.SERVER[0])
        flows.one_way(server, down.netns, down.tunnel[0])
    moves = sorted((n * every, c.name) for c, every in zip(moving, CHANGES_SIDES_S)
                   for n in range(1, int(seconds / every) + 1))
    for after, name in moves:
        time.sleep(max(0.0, split + after - time.time()))
        divide.move(lab.client(name))
    time.sleep(max(0.0, split + seconds - time.time()))
    assert len(lab.holders()) == 2, "a half gave up its VIP"
    stop_all(flows.streams)
    return split, divide.heal(sync=False)


@pytest.mark.parametrize("alone", ["owner", "standby"])
@pytest.mark.parametrize("seconds, sync_later_s", [(MINUTE_S, 0), (SHORT_S, SYNC_LATER_S)],
                         ids=["minute", "short"])
def test_a_split_brain_with_traffic_on_both_sides(lab, alone, seconds, sync_later_s):
    """In a short one sessions go on on the other side, and are under a later term when it heals."""
    owner = lab.owner()
    far = lab.others(owner) if alone == "owner" else lab.others(owner)[1:]
    refresh_old_sessions(lab, lab.clients)
    before = lab.audit.update().data_from_hub.copy()
    divide = Divide(lab, far)
    flows = Flows(lab.clients)
    try:
        for p in flows.pings:
            p.wait_ready()
        time.sleep(1.0)
        split, healed = live_divided(lab, divide, flows, seconds)
        time.sleep(sync_later_s)
        divide.heal()
        time.sleep(AFTER_S)
        stop_all(flows.pings)
        judge_split(lab, divide, flows, split, healed)
        carried = lab.audit.data_from_hub - before
        enough = CARRIED_MIN * min(1.0, seconds / MINUTE_S)
        assert sum(n > enough for n in carried.values()) == 2, f"two carry traffic: {carried}"
        lab.wait_owner()
        lab.wait_in_sync()
    finally:
        flows.discard()
        divide.end()


def judge_split(lab, divide, flows, split, healed):
    soon, end = healed + HEALED_WITHIN_S, healed + AFTER_S - 0.5
    for p in flows.pings:
        first = min((t for t, _ in p.samples()[1] if t > healed), default=end) - healed
        print(f"{p.name}: deaf for {silence(p, split, healed):.2f} s, heard {first:.3f} s after "
              f"healing, then silent for {silence(p, soon, end):.2f} s")
    for p in flows.pings:
        assert silence(p, split, healed) <= DEAF_S, f"{p.name} is deaf"
        assert silence(p, soon, end) <= BREAK_S, f"{p.name}: not well a second after healing"
    for p in flows.streams:
        assert p.samples()[1], f"{p.name}: nothing arrived"
    for p in flows.pings + flows.streams:
        numbers = [n for _, n in p.samples()[1]]
        assert len(numbers) == len(set(numbers)), f"{p.name}: delivered twice"
    delivered = divide.delivered()
    assert len(delivered) > len(flows.pings) * (healed - split), "the servers got hardly anything"
    twice = [probe for probe, times in delivered.items() if times > 1]
    assert not twice, f"the servers got {len(twice)} packets twice"
    lab.audit.update()
    print(lab.audit.summary())
    assert not lab.audit.violations, "\n".join(map(str, lab.audit.violations[:20]))
