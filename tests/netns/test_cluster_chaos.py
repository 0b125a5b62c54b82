"""Chaos drills beyond crashes and partitions: whatever happens to network, clocks, disks and processes,
no nonce is used twice, nothing is delivered twice, streams flow again, and the cluster repairs itself.

Kill, freeze, sync and VRRP partition: test_cluster_crash.py, test_cluster_split.py and
test_cluster_split_brain.py."""

import time
from pathlib import Path

import pytest

from chaos import (Clock, Clone, Rough, SmallDisk, calm, forget_neighbours, lose,
                   one_way)
from netns import wait_until
from test_cluster_crash import judge
from test_cluster_moves import guardmount
from test_cluster_split import TwoWay
from traffic import Traffic

pytestmark = pytest.mark.long
MEMBERS, CLIENTS = 3, 4
KINDS = ("ping", "udp-10", "tcp-up", "server-only")
HALF_DEAD_GAP_S = 4.0       # both believe until the probes have failed for 0.6 s
DEAF_S = 25                 # a client that lost its session to a fault is heard again after 16 s


@pytest.fixture
def undo(lab):
    """Ends of faults, in reverse; one may restart a daemon, so there must be another one."""
    ends = []
    yield ends.append
    calm(lab)
    down = [m for m in lab.members if not m.powered]
    for m in down:
        lab.start_member(m)
    for n, end in enumerate(reversed(ends)):
        if n or down:
            lab.wait_owner()
            lab.wait_in_sync([m for m in lab.members if m.daemon.alive()])
        end()
    if ends:
        lab.wait_owner()
        lab.wait_reachable(timeout=DEAF_S)


def wait_fit(lab):
    """After a start it takes LANs a moment to be known as alive; till then VRRP has a member less."""
    wait_until(lambda: all(Path(m.run_dir, "health").exists() for m in lab.members), 10,
               "a member is not fit to serve")


def said(logs, *sentences):
    """How often the members said one of these."""
    texts = [Path(log).read_text(errors="replace") for log in logs]
    return sum(text.count(words) for text in texts for words in sentences)


@pytest.mark.parametrize("what, hook, standby", [
    ("vrrp", "output", False), ("vrrp", "input", True), ("sync", "output", False),
    ("sync", "input", False)])
def test_a_partition_in_one_direction_heals(lab, undo, what, hook, standby):
    """The owner is not heard any more, or does not hear; a standby does not hear the owner."""
    owner = lab.owner()
    with TwoWay(lab) as flow:
        one_way(lab.others(owner)[0] if standby else owner, what, hook)
        time.sleep(4)
        if what == "sync":
            assert not any(lab.status(m).get("in_sync") for m in lab.others(owner)) or \
                not lab.in_sync(owner), "the partition is none"
        else:
            assert lab.owner() is not owner, "it is not heard, or hears somebody better"
        calm(lab)
        flow.flows_after(time.time())
    lab.wait_owner()
    lab.wait_in_sync()


@pytest.mark.parametrize("hook", ["output", "input"])
@pytest.mark.parametrize("lan", ["wan", "lan"])
def test_a_lan_of_the_owner_that_is_dead_in_one_direction(lab, undo, lan, hook):
    """Nobody there hears the owner, or it hears nobody: its probes tell (O3), whatever VRRP believes."""
    owner = lab.owner()
    with Traffic(lab, kinds=("ping", "udp-10", "server-only")) as traffic:
        fault = one_way(owner, lan, hook)
        adopter = lab.wait_owner(among=lab.others(owner), timeout=8)
        time.sleep(5)
        results = traffic.finish(fault)
    assert adopter is not owner
    judge(lab, fault, results, gap_s=HALF_DEAD_GAP_S, client_handshakes=len(lab.clients))
    calm(lab)
    lab.wait_in_sync()


@pytest.mark.parametrize("percent", [2, 10])
def test_a_crash_under_loss(lab, undo, percent):
    for m in lab.members:
        lose(m, percent)
    # TCP doubles its timer with each loss, so one stream in ten is silent for more than four seconds
    # with a tenth of all lost, whoever carries it.
    kinds = [k for k in KINDS if percent < 10 or not k.startswith("tcp")]
    with Traffic(lab, kinds=kinds) as traffic:
        fault = lab.power_cut(lab.owner())
        time.sleep(4)
        results = traffic.finish(fault)
    # Lost initiations are a client's to repeat after 5 s, so they are not counted here.
    judge(lab, fault, results, gap_s=3.0, client_handshakes=len(lab.clients))


@pytest.mark.parametrize("lan", ["wan", "sync"])
def test_a_crash_while_frames_come_late_and_twice(lab, undo, lan):
    for m in lab.members:
        undo(Rough(lab, m, lan).end)
    lab.wait_owner()
    lab.wait_in_sync()
    wait_fit(lab)
    with Traffic(lab, kinds=("ping", "udp-10", "server-only")) as traffic:
        fault = lab.power_cut(lab.wait_owner())
        time.sleep(4)
        results = traffic.finish(fault)
    for kind, r in results.items():
        assert r.recovered and r.gap <= 3.0, f"{kind}: {r}"
        assert r.duplicates == 0, f"{kind} was delivered twice: {r}"
    lab.audit.update()
    assert not lab.audit.violations, "\n".join(map(str, lab.audit.violations[:20]))


@pytest.mark.parametrize("seconds", [-7200, 7200, 400 * 86400])
def test_a_crash_after_a_step_of_the_adopters_clock(lab, undo, seconds):
    """Stamps never go back, keys do not live longer or shorter (H5, T1)."""
    owner = lab.owner()
    alarms = said([owner.log], "clocks differ")
    for m in lab.others(owner):
        clock = Clock(lab, m)
        undo(clock.end)
        lab.wait_in_sync()
        clock.step(seconds)
    wait_until(lambda: said([owner.log], "clocks differ") > alarms, 5, "no alarm (H6)")
    wait_fit(lab)
    with Traffic(lab, kinds=KINDS) as traffic:
        fault = lab.power_cut(owner)
        time.sleep(3)
        results = traffic.finish(fault)
    judge(lab, fault, results)


def test_a_full_disk_stops_no_takeover(lab, undo):
    owner = lab.owner()
    for m in lab.others(owner):
        disk = SmallDisk(lab, m)
        undo(disk.end)
        lab.wait_in_sync()
        disk.fill()
        undo(disk.empty)
    wait_fit(lab)
    with Traffic(lab, kinds=KINDS) as traffic:
        fault = lab.power_cut(owner)
        time.sleep(3)
        results = traffic.finish(fault)
    judge(lab, fault, results)


def test_a_daemon_that_dies_again_and_again(lab):
    """N7: it is slowed down; the VIP stays where somebody lives."""
    owner = lab.owner()
    with Traffic(lab, kinds=KINDS) as traffic:
        fault = lab.kill_daemon(owner)
        for _ in range(4):
            time.sleep(0.2)             # its last thread has let go of the state directory
            lab.start_member(owner)
            time.sleep(0.3)
            lab.kill_daemon(owner)
        time.sleep(2)
        results = traffic.finish(fault)
    judge(lab, fault, results)
    assert lab.wait_owner(among=lab.others(owner)) is not owner


def test_a_cloned_member_disturbs_nobody_and_uses_no_nonce_twice(lab, undo):
    """Its disk is started a second time while the first machine is down, and then that one returns."""
    owner = lab.owner()
    standby, victim = lab.others(owner)
    known = said([owner.log], f"sibling connected: event=member.connected member={standby.id}")
    with Traffic(lab, kinds=KINDS) as traffic:
        began = time.time()
        clone = Clone(lab, standby, victim)
        undo(clone.end)
        lab.power_cut(standby)
        forget_neighbours(lab)
        wait_until(lambda: said([owner.log], "sibling connected: event=member.connected "
                                f"member={standby.id}") > known, 20, "the clone is not heard")
        lab.start_member(standby)
        # Who of the two answers for their address is chance, and so is which one the owner meets.
        for _ in range(6):
            forget_neighbours(lab)
            time.sleep(1)
        results = traffic.finish(began)
    judge(lab, began, results)
    assert lab.owner() is owner


def test_a_vip_that_flaps_costs_nobody_a_session(lab):
    with Traffic(lab, kinds=KINDS) as traffic:
        began = time.time()
        for number in range(8):
            owner = lab.owner()
            target = lab.others(owner)[number % 2]
            code, _ = guardmount(lab, owner, "promote", lab.status(owner)["vips"][0]["name"],
                                 target.name)
            assert code == 0
        time.sleep(1)
        results = traffic.finish(began)
    judge(lab, began, results, gap_s=0.5)
    assert not lab.audit.handshakes_between(began, time.time(), hub_initiated=False)


def test_an_owner_whose_neighbours_come_and_go(lab, undo):
    """VRRP is cut and heals again and again: each time somebody else may believe."""
    owner = lab.owner()
    with TwoWay(lab) as flow:
        for _ in range(6):
            one_way(owner, "vrrp", "output")
            time.sleep(0.6)
            calm(lab)
            time.sleep(0.4)
        flow.flows_after(time.time())
    lab.wait_owner()


def test_a_rolling_restart_of_all_members(lab):
    """drain, stop, start, in sync, undrain: member after member, and nobody notices."""
    with Traffic(lab, kinds=KINDS) as traffic:
        began = time.time()
        for m in lab.members:
            assert guardmount(lab, m, "drain")[0] == 0
            lab.wait_owner(among=lab.others(m))
            lab.stop_member(m)
            lab.start_member(m)
            lab.wait_in_sync()
            assert guardmount(lab, m, "undrain")[0] == 0
        results = traffic.finish(began)
    judge(lab, began, results, gap_s=0.5)
    assert not lab.audit.handshakes_between(began, time.time(), hub_initiated=False)
