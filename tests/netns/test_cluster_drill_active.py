"""A drill where each member has VIPs: a fault hits all VIPs of its owner, and all are given back."""

import pytest

from test_cluster_drill import Supervisor, drill, judge
from test_cluster_moves import guardmount

MEMBERS, CLIENTS, VIPS = 3, 6, 3


@pytest.mark.long
def test_every_vip_that_a_fault_moved_is_given_back(lab):
    main, also = lab.vips[:2]
    owner = lab.owner(main)
    assert guardmount(lab, owner, "promote", also.name, owner.name)[0] == 0
    lab.wait_owner(among=[owner], vip=also)
    watcher = main.order(lab.members)[1]
    with Supervisor(lab, owner):
        said, _, _ = drill(lab, watcher, "--method", "kill", vip=main)
    assert said["steps"][1]["action"] in ("returned", "promote")  # it is the first of Members
    judge(lab, said, owner, asked=sum(c.vip == main for c in lab.clients),
          handshakes=True)
    assert lab.owner(also) is owner, "a VIP that went along was not given back"
    home = also.order(lab.members)[0]
    assert guardmount(lab, owner, "promote", also.name, home.name)[0] == 0
    lab.wait_owner(among=[home], vip=also)
