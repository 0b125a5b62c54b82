"""The network falls in two. Each half has members, clients, a gateway and a server, so that both
work and neither can know that it is not the only one."""

import os
import socket
import time
from collections import Counter

import plan
from capture import Capture, PcapReader
from lab import ENV_MARK, LAB_DIR
from netns import LabError, add_netns, delete_netns, ip_batch, mac_of, set_link
from plan import SERVER_NS, SWITCH_NS
from probes import payload_of

FAR_NS = plan.PREFIX + "far"
_FAR = {lan: lan + "2" for lan in plan.LANS}         # the other half's bridges
UNPLUGGED_S = 1.5           # its kernel has to notice, and forget who had which address
_UNREACHABLE, _INFORMATIONAL = 3, 128       # types of ICMP, and of ICMPv6 from there on
_SERVERS = {"srv-lan": SERVER_NS, "far-lan": FAR_NS}


class Divide:
    """Made whole; split() divides it, heal() joins it. @far: the members of the other half. Its
    gateway and server have the addresses of those that it does not reach, MAC included: whoever is
    moved there has nothing to learn."""

    def __init__(self, lab, far):
        self.lab, self.far, self.moved = lab, far, set()
        add_netns(FAR_NS)
        ip_batch(SWITCH_NS, [
            f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            for bridge in _FAR.values()] + [f"link set {bridge} up" for bridge in _FAR.values()] + [
            f"link add far-{lan} type veth peer name {lan}0 address {mac} netns {FAR_NS}"
            for lan, mac in (("wan", _mac(SWITCH_NS, "wan")), ("lan", _mac(SERVER_NS, "lan0")))] + [
            f"link set far-{lan} master {_FAR[lan]} up" for lan in ("wan", "lan")])
        ip_batch(FAR_NS, ["link set wan0 up", f"addr add {plan.GATEWAY[0]}/24 dev wan0",
                          f"addr add {plan.GATEWAY[1]}/64 dev wan0 nodad"])
        lab.address_server(FAR_NS)
        self.files = {port: os.path.join(LAB_DIR, f"{port}.pcap") for port in _SERVERS}
        self.capture = Capture(SWITCH_NS, self.files, {ENV_MARK: LAB_DIR})

    def split(self, clients):
        """The members of the other half, and these clients, are cut off from the rest."""
        at = time.time()
        self._plug(plan.LANS, clients, _FAR)
        self.moved = {c.name for c in clients}
        return at

    def move(self, c):
        """The client's cable is pulled, and plugged in on the other side."""
        self.moved ^= {c.name}
        set_link(SWITCH_NS, _port(c), up=False)
        time.sleep(UNPLUGGED_S)
        bridge = _FAR["wan"] if c.name in self.moved else "wan"
        ip_batch(SWITCH_NS, [f"link set {_port(c)} master {bridge} up"])

    def heal(self, sync=True):
        """@sync: the sync LAN, too."""
        at = time.time()
        moved = [c for c in self.lab.clients if c.name in self.moved]
        self._plug([lan for lan in plan.LANS if sync or lan != "sync"], moved,
                   {lan: lan for lan in plan.LANS})
        self.moved = set()
        return at

    def _plug(self, lans, clients, bridges):
        ip_batch(SWITCH_NS, [f"link set {m.port(lan)} master {bridges[lan]}"
                             for m in self.far for lan in lans]
                 + [f"link set {_port(c)} master {bridges['wan']}" for c in clients])

    def delivered(self):
        """{(probe, number): how often one of the two servers got it}, from captures."""
        counted = Counter()
        for port, path in self.files.items():
            mac = mac_of(_SERVERS[port], "lan0")
            for _, frame in PcapReader(path).new():
                if frame[:6] == mac and payload_of(frame) and not _is_error(frame):
                    counted[payload_of(frame)] += 1
        return counted

    def end(self):
        self.heal()
        complete = self.capture.stop()
        delete_netns(FAR_NS)
        ip_batch(SWITCH_NS, [f"link del {bridge}" for bridge in _FAR.values()])
        if not complete:
            raise LabError("the capture of the servers lost frames: nothing is proven")


def _is_error(frame):
    """A member that has let go of the VIP says so to who still sends to it, and quotes the packet:
    the answer to one that was delivered."""
    if frame[12:14] == b"\x08\x00":
        return frame[23] == socket.IPPROTO_ICMP and frame[34] == _UNREACHABLE
    return frame[20] == socket.IPPROTO_ICMPV6 and frame[54] < _INFORMATIONAL


def _port(client):
    return f"{client.name}-wan"


def _mac(ns, link):
    return mac_of(ns, link).hex(":")
