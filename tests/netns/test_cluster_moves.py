"""Planned moves: what an operator moves under traffic loses no packet and makes nobody handshake.

In a sync group keepalived takes the addresses off the old owner when the first instance of the new
one speaks, and gives the new owner those of the second instance some milliseconds later: what is
sent to an address that is nowhere is the old owner's until it lets go."""

import json
import subprocess
import time

import pytest

import plan
from plan import SERVER_NS
from premises import BIN_DIR, ENV_MARK, LAB_DIR
from probes import Probe, stop_all
from traffic import refresh_old_sessions

EVERY_S = 0.003
GAP_S = 0.3         # loose: the figure is printed
HUB_DROPS = ("below_ceiling", "unfit", "unknown_index", "expired", "stale", "auth")
MOVES = 3           # each way
WAIT_S = 20


def guardmount(lab, m, *words):
    """(exit code, JSON) of a command of the operator's."""
    done = subprocess.run([BIN_DIR / "guardmount", "-s", m.control, "--json", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=WAIT_S, check=False)
    print(" ".join(words), "->", done.returncode, done.stderr.strip())
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


class Streams:
    """Both ways at once, over IPv4 and IPv6, at some hundred packets a second each."""

    def __init__(self, lab):
        up, down, both = lab.clients[0], lab.clients[1], lab.clients[2]
        refresh_old_sessions(lab, (up, down, both))
        self.probes = {
            "up": self._start("udp", up.netns, SERVER_NS, plan.SERVER[0], "up"),
            "down": self._start("udp", SERVER_NS, down.netns, down.tunnel[0], "down"),
            "ping6": self._start("ping", both.netns, SERVER_NS, plan.SERVER[1], "ping6"),
        }
        for p in self.probes.values():
            p.wait_ready()
        time.sleep(1)
        self.dropped = self._dropped(lab)

    @staticmethod
    def _dropped(lab):
        """{member, reason: packets} that the members dropped of what reached them."""
        return {(m.name, r): lab.metrics(m).get(
            f'guardmount_packets_dropped_total{{hub="1",reason="{r}"}}', 0)
            for m in lab.members for r in HUB_DROPS}

    @staticmethod
    def _start(kind, source, destination, address, name):
        return Probe.start(kind, source, destination, address, LAB_DIR, interval=EVERY_S,
                           name=f"moves-{name}", env={ENV_MARK: LAB_DIR})

    def judge(self, lab, began, restarted=()):
        time.sleep(1)
        for p in self.probes.values():
            p.stop_sending()
        time.sleep(0.3)
        stop_all(self.probes.values())
        results = {k: p.result(began) for k, p in self.probes.items()}
        said = "; ".join(str(r) for r in results.values())
        print(said)
        for p in self.probes.values():
            p.discard()
        for r in results.values():
            assert r.lost == 0, f"packets were lost: {said}"
            assert r.duplicates == 0, f"delivered twice: {said}"
            assert r.gap <= GAP_S, f"a gap: {said}"
        for (name, reason), before in self.dropped.items():
            after = self._dropped(lab)[name, reason]
            assert name in restarted or after == before, \
                f"{name} dropped {after - before:.0f} packets: {reason}; {said}"
        lab.audit.update()
        assert not lab.audit.violations, "\n".join(map(str, lab.audit.violations[:20]))
        made = lab.audit.handshakes_between(began, time.time())
        assert not made, f"handshakes because of a planned move: {made}; {said}"


@pytest.fixture
def streams(lab):
    """Streams that are stopped whatever becomes of the test."""
    s = Streams(lab)
    yield s
    stop_all(s.probes.values())


@pytest.fixture(autouse=True)
def undrained(lab):
    """Every member may have VIPs again afterwards."""
    yield
    for m in lab.members:
        if m.powered and m.daemon.alive():
            guardmount(lab, m, "undrain")


def test_a_drained_member_loses_its_vip_and_nobody_a_packet(lab, streams):
    began = time.time()
    for _ in range(2 * MOVES):
        owner = lab.owner()
        code, said = guardmount(lab, owner, "drain")
        assert code == 0 and said["done"], said
        successor = lab.wait_owner(among=lab.others(owner))
        assert said["vips"][0]["owner_name"] == successor.name
        assert lab.status(owner)["vips"][0]["drained"]
        assert guardmount(lab, owner, "undrain")[0] == 0
        time.sleep(0.5)
        assert lab.owner() is successor, "the VIP came back by itself"
    streams.judge(lab, began)


def test_a_vip_is_promoted_to_a_member_and_nobody_loses_a_packet(lab, streams):
    began = time.time()
    vip = lab.status(lab.members[0])["vips"][0]["name"]
    for _ in range(MOVES):
        owner = lab.owner()
        other = lab.others(owner)[0]
        # Asked at the one that gives it away, then at the one that gets it back.
        assert guardmount(lab, owner, "promote", vip, other.name)[0] == 0
        assert lab.wait_owner() is other
        assert guardmount(lab, owner, "promote", vip, owner.name)[0] == 0
        assert lab.wait_owner() is owner
    streams.judge(lab, began)


def test_an_upgrade_is_drain_restart_undrain(lab, streams):
    began = time.time()
    owner = lab.owner()
    assert guardmount(lab, owner, "upgrade-check")[0] == 4
    assert guardmount(lab, owner, "drain")[0] == 0
    code, said = guardmount(lab, owner, "upgrade-check")
    assert code == 0 and said["safe"], said
    lab.stop_daemon(owner)
    lab.start_member(owner)
    lab.wait_in_sync()
    assert lab.status(owner)["vips"][0]["drained"], "a restart forgot that the member is drained"
    successor = lab.wait_owner()
    assert successor is not owner
    code, said = guardmount(lab, successor, "promote", plan.VIP_NAME, owner.name)
    assert code == 1 and not said, "a drained member was to have a VIP"
    assert guardmount(lab, owner, "undrain")[0] == 0
    # As a script goes on with the next one: at once, and said at this one.
    assert guardmount(lab, owner, "drain", successor.name)[0] == 0
    assert lab.wait_owner() is owner
    streams.judge(lab, began, restarted=[owner.name])


def test_a_move_is_refused_when_nobody_could_go_on(lab):
    owner = lab.owner()
    other = lab.others(owner)[0]
    lab.stop_member(other)
    lab.wait_owner(among=[owner])
    done = subprocess.run([BIN_DIR / "guardmount", "-s", owner.control, "drain"],
                          stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 1 and "nobody in sync" in done.stderr, done.stderr
    assert lab.owner() is owner
