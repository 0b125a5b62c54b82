"""An attacker on the WAN records what clients send and sends it again, before, during and after a
takeover: nothing is delivered twice, no endpoint moves."""

import socket
import threading
import time

import pytest

import plan
from audit import parse_udp
from capture import PcapReader
from netns import in_netns
from plan import SERVER_NS
from premises import ENV_MARK, LAB_DIR
from probes import Probe
from test_cluster_crash import OFTEN
from traffic import refresh_old_sessions

ENDPOINT_RETURNS_S = 1.0


class Attacker(threading.Thread):
    """Records client datagrams for the VIP from every member's port and repeats them."""

    def __init__(self, lab, pause_s=0.0005):
        super().__init__(daemon=True)
        self.pause_s, self.sent, self.ending = pause_s, 0, threading.Event()
        self.readers = [PcapReader(p.path) for p in lab.audit_ports()]
        self.hub_macs = {p.mac for p in lab.audit_ports()}
        self.recorded = {}
        ns = lab.add_attacker()
        with in_netns(ns):
            self.sockets = {False: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
                            True: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)}
        self.own_ports = set()
        self.own_addresses = set(plan.ATTACKER)
        self.record()

    def record(self):
        for reader in self.readers:
            for when, frame in reader.new():
                d = parse_udp(when, frame)
                if d and d.destination[1] == plan.HUB_PORT and d.source_mac not in self.hub_macs \
                        and d.source[0] not in self.own_addresses:
                    self.recorded.setdefault(d.payload, d.destination)

    def run(self):
        while not self.ending.is_set():
            self.record()
            for payload, destination in list(self.recorded.items())[-2000:]:
                try:
                    self.sockets[":" in destination[0]].sendto(payload, destination)
                    self.sent += 1
                except OSError:        # no neighbour while nobody holds the VIP
                    pass
                if self.ending.wait(self.pause_s):
                    return

    def stop(self):
        self.ending.set()
        self.join(10)
        for s in self.sockets.values():
            s.close()


def endpoints(lab, m):
    """{client name: address} as the member says."""
    names = {c.public_key: c.name for c in lab.clients}
    rows = [row.split("\t") for row in lab.wg(m, "show", "endpoints").splitlines()]
    return {names[key]: at.rsplit(":", 1)[0].strip("[]") for key, at in rows if key in names}


@OFTEN
def test_replayed_uplink_is_not_delivered_twice_and_moves_no_endpoint(lab, run):
    clients = lab.clients[:2]                            # one over IPv4, one over IPv6
    refresh_old_sessions(lab, clients)
    probes = [Probe.start("udp", c.netns, SERVER_NS, plan.SERVER[0], LAB_DIR, name=c.name,
                          env={ENV_MARK: LAB_DIR}) for c in clients]
    attacker = None

    def check(member, when):
        at = endpoints(lab, member)
        for c in clients:
            assert at[c.name] == c.wan_address, f"{when}: the endpoint of {c.name} moved"
    try:
        for p in probes:
            p.wait_ready()
        time.sleep(1)
        attacker = Attacker(lab)
        assert len(attacker.recorded) > 100, "nothing to replay"
        attacker.start()
        owner = lab.owner()
        time.sleep(2)
        check(owner, "before")
        fault = lab.power_cut(owner)
        adopter = lab.wait_owner(among=lab.others(owner))
        check(adopter, "at the takeover")
        time.sleep(3)
        check(adopter, "after")
    finally:
        if attacker:
            attacker.stop()
        for p in probes:
            p.stop()
    assert attacker.sent > 1000, "the attacker hardly sent anything"
    for p in probes:
        r = p.result(fault)
        assert r.duplicates == 0, f"delivered twice: {r}"
        assert r.recovered and r.gap < 2.0, str(r)
        p.discard()


def test_the_replay_test_can_see_a_double_delivery(lab):
    """The probe itself: a datagram that the server gets twice is counted."""
    probe = Probe.start("udp", lab.clients[0].netns, SERVER_NS, plan.SERVER[0], LAB_DIR,
                        env={ENV_MARK: LAB_DIR}).wait_ready()
    time.sleep(0.5)
    sent, received = probe.stop().samples()
    from probes import judge
    twice = judge("planted", sent, received + received[:1], sent[0][0], sent[-1][0], 0.01)
    probe.discard()
    assert twice.duplicates == 1


@pytest.mark.parametrize("kind", [1, 4], ids=["initiations", "data"])
def test_replays_to_the_standby_do_nothing(lab, kind):
    """Sent to a standby's own address: it holds no VIP and answers nobody."""
    standby = lab.others(lab.owner())[0]
    attacker = Attacker(lab)
    packets = [p for p in attacker.recorded if p[0] == kind][-200:]
    assert packets, "nothing recorded"
    attacker.sockets[False].settimeout(0.5)
    for p in packets:
        attacker.sockets[False].sendto(p, (standby.addresses("wan")[0], plan.HUB_PORT))
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        attacker.sockets[False].recv(2000)
    for s in attacker.sockets.values():
        s.close()
