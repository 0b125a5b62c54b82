"""The timers of the protocol between guardmountd IFNAME and wireguard-go: these tests wait."""

import time

import pytest

from plain import PlainNet, connect
from probes import Probe


@pytest.fixture
def net():
    with PlainNet() as n:
        yield n


@pytest.mark.long
@pytest.mark.parametrize("initiator", ["ours", "stock"])
def test_rekey_under_traffic_loses_nothing(net, initiator):
    ours, stock = connect(net, 0, initiator=initiator)
    first, second = (ours, stock) if initiator == "ours" else (stock, ours)
    assert first.pings(second, timeout=3)
    begun = ours.handshake_at(stock)
    probes = [Probe.start("udp", a.ns, b.ns, b.inside[0]).wait_ready()
              for a, b in ((ours, stock), (stock, ours))]
    time.sleep(130)
    for p in probes:
        result = p.stop().result(time.time() - 125)
        p.discard()
        assert result.lost == 0 and result.duplicates == 0 and result.gap < 0.2, str(result)
    assert ours.handshake_at(stock) >= begun + 115


@pytest.mark.long
def test_an_idle_tunnel_wakes_after_its_keys_are_dead(net):
    ours, stock = connect(net, 0, both_known=True)
    assert stock.pings(ours, timeout=3)
    time.sleep(185)
    assert ours.pings(stock, timeout=3), "our side begins anew"
    time.sleep(185)
    assert stock.pings(ours, timeout=3), "the stock side begins anew"


def test_passive_keepalive_answers_one_way_traffic(net):
    """Within 10 s of one-way data the receiver sends a keepalive; else the sender re-handshakes
    after 15 s."""
    ours, stock = connect(net, 0)
    assert stock.pings(ours, timeout=3)
    begun, received = ours.handshake_at(stock), stock.transfer(ours)[0]
    probe = Probe.start("udp", stock.ns, ours.ns, ours.inside[0], interval=0.1).wait_ready()
    time.sleep(17)
    probe.stop().discard()
    assert stock.transfer(ours)[0] >= received + 32
    assert ours.handshake_at(stock) == begun, "the sender thought that we were gone"


def test_persistent_keepalive_is_sent(net):
    ours, stock = connect(net, 0, both_known=True)
    assert stock.pings(ours, timeout=3)
    before = stock.transfer(ours)[0]
    ours.wg("set", "peer", stock.public, "persistent-keepalive", "1")
    time.sleep(3.5)
    assert stock.transfer(ours)[0] - before >= 3 * 32
