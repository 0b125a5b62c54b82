"""Three members: the same promises, and two crashes in a row without anyone coming back."""

import time

from test_cluster_crash import OFTEN, judge
from traffic import Traffic

MEMBERS, CLIENTS = 3, 4
KINDS = ("ping", "server-only", "tcp-up", "roamed")


def run_fault_here(lab, inject):
    owner = lab.owner()
    with Traffic(lab, kinds=KINDS) as traffic:
        fault = inject(owner)
        time.sleep(3)
        judge(lab, fault, traffic.finish(fault))
    return owner


@OFTEN
def test_two_power_cuts_in_a_row_leave_one_that_serves(lab, run):
    first = run_fault_here(lab, lab.power_cut)
    second = lab.wait_owner(among=lab.others(first))
    assert run_fault_here(lab, lab.power_cut) is second
    last = lab.wait_owner(among=lab.others(first, second))
    assert lab.owns(last)


def test_a_split_of_one_against_two_heals(lab):
    owner = lab.owner()
    lab.cut(owner, "sync")
    lab.block_vrrp(owner)
    time.sleep(2)
    lab.heal(owner)
    lab.wait_owner()
    lab.wait_in_sync()
    lab.wait_reachable()
