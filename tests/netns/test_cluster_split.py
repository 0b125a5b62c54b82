"""Partitions, stalls and double ownership: no nonce twice, and two-way data soon after healing."""

import time

import pytest

import plan
from lab import ENV_MARK, LAB_DIR
from plan import SERVER_NS
from probes import Probe, stop_all
from test_cluster_crash import OFTEN, judge, run_fault
from traffic import Traffic, refresh_old_sessions

HEALED_WITHIN_S = 1.0
STALL_S = 5.0


class TwoWay:
    """Both directions on two clients, one over IPv4 and one over IPv6."""

    def __init__(self, lab):
        refresh_old_sessions(lab, lab.clients)
        self.probes = []
        for c in lab.clients[:2]:
            for source, destination, address in ((c.netns, SERVER_NS, plan.SERVER[0]),
                                                 (SERVER_NS, c.netns, c.tunnel[0])):
                self.probes.append(Probe.start("udp", source, destination, address, LAB_DIR,
                                               name=f"{source} to {destination}",
                                               env={ENV_MARK: LAB_DIR}))
        for p in self.probes:
            p.wait_ready()
        time.sleep(1.0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.probes:
            p.discard()

    def flows_after(self, healed, within=HEALED_WITHIN_S):
        """From @healed + @within on, every stream arrives without a break."""
        time.sleep(max(0.0, healed + within + 2.0 - time.time()))
        stop_all(self.probes)
        for p in self.probes:
            times = [t for t, _ in p.samples()[1]]
            late = [t for t in times if t >= healed + within]
            first = min((t for t in times if t >= healed), default=None)
            assert first is not None and first <= healed + within, \
                f"{p.name}: first data {first and first - healed} s after healing"
            breaks = [b - a for a, b in zip(late, late[1:]) if b - a > 0.3]
            assert late, f"{p.name}: nothing from {within} s after healing on"
            assert not breaks, f"{p.name}: silent again for {breaks} s"
            numbers = [n for _, n in p.samples()[1]]
            assert len(numbers) == len(set(numbers)), f"{p.name}: delivered twice"


@pytest.mark.parametrize("silent", [False, True], ids=["cable", "silent"])
def test_a_dead_sync_link_serves_on_and_resyncs(lab, silent):
    owner = lab.owner()
    run_fault(lab, lambda m: lab.cut(m, "sync", silent=silent), shift=1 + silent, gap_s=0.3)
    assert lab.owner() is owner
    lab.heal(owner)
    lab.wait_in_sync()
    assert lab.owner() is owner


@OFTEN
def test_a_crash_while_the_sync_link_is_dead_recovers_by_handshakes_of_the_hub(lab, run):
    """The replica is too old to be adopted (R9): the hub begins at once (H8)."""
    owner = lab.owner()
    lab.cut(owner, "sync")
    with Traffic(lab, kinds=("ping", "udp-10"), shift=run) as traffic:
        time.sleep(5)                                     # more than T_FRESH
        fault = lab.power_cut(owner)
        time.sleep(4)
        results = traffic.finish(fault)
    judge(lab, fault, results, gap_s=2.0)


@OFTEN
def test_both_members_believe_and_heal(lab, run):
    owner = lab.owner()
    with TwoWay(lab) as flow:
        lab.block_vrrp(owner)
        time.sleep(3)
        assert len(lab.holders()) == 2, "VRRP does not hear: both hold the VIP"
        flow.flows_after(lab.heal(owner))
    lab.wait_owner()


@pytest.mark.parametrize("whole_machine", [False, True], ids=["daemon", "machine"])
def test_the_owner_stalls_for_five_seconds_and_wakes(lab, whole_machine):
    owner = lab.owner()
    with TwoWay(lab) as flow:
        lab.freeze(owner, whole_machine)
        time.sleep(STALL_S)
        flow.flows_after(lab.thaw(owner))
    lab.wait_owner()
    lab.wait_in_sync()


@OFTEN
def test_sync_and_vrrp_partition_together_and_heal(lab, run):
    owner = lab.owner()
    with TwoWay(lab) as flow:
        lab.cut(owner, "sync")
        lab.block_vrrp(owner)
        time.sleep(3)
        flow.flows_after(lab.heal(owner))
    lab.wait_owner()
    lab.wait_in_sync()


def test_a_standby_sends_nothing_to_clients(lab):
    standby = lab.others(lab.owner())[0]
    before = lab.audit.update().data_from_hub[standby.name]
    greeted = len([h for h in lab.audit.handshakes if h.member == standby.name and h.from_hub])
    with Traffic(lab):
        time.sleep(3)
    lab.audit.update()
    assert lab.audit.data_from_hub[standby.name] == before
    assert len([h for h in lab.audit.handshakes
                if h.member == standby.name and h.from_hub]) == greeted
