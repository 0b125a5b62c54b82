"""Faults that take the owner away: every stream goes on, no client begins a handshake.

Bounds here are loose; the figures come from tests/bench/failover."""

import time

import pytest

from traffic import Traffic

LOOSE_GAP_S = 2.0
WATCH_S = 3.0
TWICE = pytest.mark.parametrize("run", [1, 2])
OFTEN = pytest.mark.parametrize("run", [1, pytest.param(2, marks=pytest.mark.long)])


def judge(lab, fault, results, gap_s=LOOSE_GAP_S, client_handshakes=0):
    """The oracles that hold after every fault."""
    said = "; ".join(str(r) for r in results.values())
    print(said)
    for r in results.values():
        assert r.recovered, f"{r.kind} does not flow again: {said}"
        assert r.gap <= gap_s, f"{r.kind}: gap of {r.gap:.3f} s: {said}"
        assert r.duplicates == 0, f"{r.kind}: delivered twice: {said}"
    lab.audit.update()
    assert not lab.audit.violations, "\n".join(map(str, lab.audit.violations[:20]))
    begun = lab.audit.handshakes_between(fault - 1, fault + 2, hub_initiated=False)
    assert len(begun) <= client_handshakes, f"clients began handshakes: {begun}; {said}"


def run_fault(lab, inject, shift=0, gap_s=LOOSE_GAP_S, watch_s=WATCH_S, **kw):
    """inject(owner) under full traffic; returns (former owner, time of the fault)."""
    owner = lab.owner()
    with Traffic(lab, shift=shift) as traffic:
        fault = inject(owner)
        time.sleep(watch_s)
        results = traffic.finish(fault)
    judge(lab, fault, results, gap_s, **kw)
    return owner, fault


@TWICE
def test_power_cut_of_the_owner_carries_every_stream_on(lab, run):
    before = {m.name: lab.adopted(m) for m in lab.members}
    owner, fault = run_fault(lab, lab.power_cut, shift=run)
    adopter = lab.wait_owner(among=lab.others(owner))
    assert adopter is not owner
    adopted = lab.adopted(adopter) - before[adopter.name]
    begun_by_hub = lab.audit.handshakes_between(fault, fault + 2, hub_initiated=True, types=(1,))
    active = len(lab.clients)
    assert sum(adopted.values()) >= active, f"{active} clients, adopted: {dict(adopted)}"
    assert adopted["hot"] + len({h.destination for h in begun_by_hub}) >= active, \
        f"adopted {dict(adopted)}, hub began {len(begun_by_hub)} handshakes"


def flaps(lab, m):
    """Counted by the member since its daemon started."""
    return sum(value for name, value in lab.metrics(m).items()
               if name.startswith("guardmount_vip_flaps_total"))


@OFTEN
def test_daemon_killed_alone(lab, run):
    owner, _ = run_fault(lab, lab.kill_daemon, shift=run)
    assert owner.keepalived.alive(), "only the daemon was killed"
    assert lab.wait_owner(among=lab.others(owner)) is not owner
    lab.start_member(owner)
    assert flaps(lab, owner) == 1, "that was one"


@TWICE
def test_daemon_frozen(lab, run):
    owner, _ = run_fault(lab, lab.freeze, shift=run)
    assert lab.wait_owner(among=lab.others(owner)) is not owner


@TWICE
def test_graceful_stop_of_a_member_loses_no_session(lab, run):
    owner, _ = run_fault(lab, lab.stop_member, shift=run)
    assert lab.wait_owner(among=lab.others(owner)) is not owner


@OFTEN
def test_graceful_stop_of_the_daemon_alone(lab, run):
    owner, _ = run_fault(lab, lab.stop_daemon, shift=run)
    assert lab.wait_owner(among=lab.others(owner)) is not owner
    lab.start_member(owner)
    assert flaps(lab, owner) == 0, "it was meant"


@pytest.mark.parametrize("lan", ["wan", "lan"])
def test_a_cable_of_the_owner_unplugged(lab, lan):
    owner, _ = run_fault(lab, lambda m: lab.cut(m, lan), shift=lan == "lan")
    assert lab.wait_owner(among=lab.others(owner)) is not owner


@pytest.mark.parametrize("lan", ["wan", "lan"])
def test_a_lan_of_the_owner_silently_dead(lab, lan):
    """VRRP alone does not notice: with a sync group the VIPs would stay (O3)."""
    owner = lab.owner()
    with Traffic(lab, kinds=("ping", "udp-10")) as traffic:
        lab.cut(owner, lan, silent=True)
        adopter = lab.wait_owner(among=lab.others(owner), timeout=8)
        time.sleep(2)
        results = traffic.finish(time.time() - 10)
    assert adopter is not owner
    for r in results.values():
        assert r.recovered and r.duplicates == 0, str(r)


def test_a_second_crash_within_the_life_of_the_same_keys(lab):
    first, _ = run_fault(lab, lab.power_cut)
    survivor = lab.wait_owner(among=lab.others(first))
    lab.start_member(first)
    lab.wait_in_sync()
    second, _ = run_fault(lab, lab.power_cut)
    assert second is survivor
    assert lab.wait_owner(among=[first]) is first


@OFTEN
def test_failback_by_a_graceful_stop(lab, run):
    first = lab.owner()
    lab.power_cut(first)
    second = lab.wait_owner(among=lab.others(first))
    lab.start_member(first)
    lab.wait_in_sync()
    lab.wait_owner()
    if lab.owner() is second:
        run_fault(lab, lambda _: lab.stop_member(second), shift=run)
    assert lab.wait_owner(among=[first]) is first


def test_a_crash_of_the_standby_disturbs_nobody(lab):
    owner = lab.owner()
    standby = lab.others(owner)[0]
    run_fault(lab, lambda _: lab.power_cut(standby), gap_s=0.3)
    assert lab.owner() is owner


def test_a_member_that_restarts_rejoins(lab):
    owner = lab.owner()
    standby = lab.others(owner)[0]

    def restart(_):
        fault = lab.stop_member(standby)
        lab.start_member(standby)
        return fault
    run_fault(lab, restart, gap_s=0.3)
    lab.wait_in_sync()
    assert lab.owner() is owner


def test_the_last_member_left_serves_on_and_is_joined_again(lab):
    owner = lab.owner()
    lab.stop_member(lab.others(owner)[0])
    run_fault(lab, lambda _: time.time(), gap_s=0.3)      # no fault: it must be quiet
    assert lab.owner() is owner and lab.owns(owner)
    lab.restore()


def test_a_cold_start_of_one_member_alone_serves(lab):
    for m in lab.members:
        lab.stop_member(m)
    alone = lab.members[-1]
    lab.start_member(alone)
    assert lab.wait_owner(among=[alone]) is alone
    for c in lab.clients:                  # nobody has their sessions any more
        lab.reconnect_client(c)
    lab.wait_reachable()
