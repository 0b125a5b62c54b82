"""What the lab looks like, as pure data: names, addresses and configuration texts.

        c1 c2 ...   gateway (10.60.1.254)
         |  |          |
   ======== WAN ==================  10.60.1.0/24  fd60:1::/64   VIP .100
            |          |
           m1         m2  ...  ---- SYNC  10.60.3.0/24 (members only)
            |          |
   ======== LAN ==================  10.60.2.0/24  fd60:2::/64   VIP .100
                 |
               server (10.60.2.10)          tunnel: 10.77.0.0/24  fd77::/64, hub .1

Each box is a network namespace; the three bridges live in one more ("switch").
With several VIPs (active/active) VIP n has .100+n-1 on both LANs, the pool 10.77.n.0/24 and
fd77:n::/64, and prefers member n; client i talks to VIP (i-1) mod N + 1.
"""

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "gml-"
SWITCH_NS, SERVER_NS, ATTACKER_NS = PREFIX + "switch", PREFIX + "srv", PREFIX + "atk"
HUB_PORT, SYNC_PORT = 51820, 51900
MEMBERS_MAX, CLIENTS_MAX = 9, 80
LANS = ("wan", "lan", "sync")

VIPS_MAX = 3
GATEWAY = ("10.60.1.254", "fd60:1::254")
SERVER = ("10.60.2.10", "fd60:2::10")
ATTACKER = ("10.60.1.99", "fd60:1::99")
TUNNEL_NETS = ("10.77.0.0/24", "fd77::/64")
HUB_TUNNEL = ("10.77.0.1/24", "fd77::1/64")
ALL_TUNNEL_NETS = ("10.77.0.0/16", "fd77::/16")    # with the pools of all VIPs
LAN_NETS = ("10.60.2.0/24", "fd60:2::/64")
_ROAMED_OFFSET = 100


@dataclass(frozen=True)
class Vip:
    number: int
    pooled: bool = False            # one of several: it has a pool of tunnel addresses

    name = property(lambda self: ("main", "second", "third")[self.number - 1])
    outer = property(lambda self: self._addresses(1))
    inner = property(lambda self: self._addresses(2))
    pool = property(lambda self: (f"10.77.{self.number}.0/24", f"fd77:{self.number}::/64")
                    if self.pooled else TUNNEL_NETS)

    def _addresses(self, net):
        return f"10.60.{net}.{99 + self.number}", f"fd60:{net}::{99 + self.number}"

    def order(self, members):
        """By preference: the member of the VIP's number first."""
        first = (self.number - 1) % len(members)
        return members[first:] + members[:first]


def all_vips(count):
    return [Vip(n, count > 1) for n in range(1, count + 1)]


VIP = Vip(1)
VIP_NAME, OUTER_VIPS, INNER_VIPS = VIP.name, VIP.outer, VIP.inner


@dataclass
class Member:
    name: str
    id: int
    dir: str
    sync_public_key: str = ""
    daemon: object = None           # netns.Process
    keepalived: object = None
    powered: bool = True
    faults: list = field(default_factory=list)     # ("cut", "wan"), ("vrrp",), ...

    netns = property(lambda self: PREFIX + self.name)
    wan_if, lan_if, sync_if = "wan0", "lan0", "sync0"
    hub_if = property(lambda self: f"gmlhub{self.id}")
    conf = property(lambda self: os.path.join(self.dir, "guardmount.conf"))
    log = property(lambda self: os.path.join(self.dir, "guardmountd.log"))
    keepalived_conf = property(lambda self: os.path.join(self.dir, "keepalived.conf"))
    keepalived_log = property(lambda self: os.path.join(self.dir, "keepalived.log"))
    run_dir = property(lambda self: os.path.join(self.dir, "run"))
    state_dir = property(lambda self: os.path.join(self.dir, "state"))
    control = property(lambda self: os.path.join(self.run_dir, "control.sock"))

    def addresses(self, lan):
        """(IPv4, IPv6) on "wan", "lan" or "sync"."""
        net = LANS.index(lan) + 1
        return f"10.60.{net}.{self.id}", f"fd60:{net}::{self.id}"

    def port(self, lan):
        """The switch's end of this member's link."""
        return f"{self.name}-{lan}"

    def interface(self, lan):
        return f"{lan}0"


@dataclass
class Client:
    """A stock client. Odd ones reach the hub over IPv4, even ones over IPv6; the second and third
    of each four have a preshared key, so that all four combinations occur."""
    name: str
    number: int
    dir: str
    public_key: str = ""
    process: object = None
    roamed: bool = False
    vip: Vip = VIP

    netns = property(lambda self: PREFIX + self.name)
    wan_if = "wan0"
    ifname = property(lambda self: f"gml{self.name}")
    log = property(lambda self: os.path.join(self.dir, "wireguard-go.log"))
    over_ipv6 = property(lambda self: self.number % 2 == 0)
    with_psk = property(lambda self: self.number % 4 in (2, 3))

    def addresses(self, roamed=None):
        """(IPv4, IPv6) on the WAN, where it is now or at one of its two places."""
        host = 10 + self.number + (_ROAMED_OFFSET if (self.roamed if roamed is None else roamed)
                                   else 0)
        return f"10.60.1.{host}", f"fd60:1::{host}"

    @property
    def wan_address(self):
        """The address that the hub sees."""
        return self.addresses()[1 if self.over_ipv6 else 0]

    @property
    def tunnel(self):
        host = 10 + self.number
        return tuple(net.split("/")[0].replace("::", f"::{host}") if ":" in net
                     else net.replace(".0/24", f".{host}") for net in self.vip.pool)

    @property
    def endpoint(self):
        return endpoint_of(self.vip, self.over_ipv6)


def endpoint_of(vip, over_ipv6):
    return f"[{vip.outer[1]}]:{HUB_PORT}" if over_ipv6 else f"{vip.outer[0]}:{HUB_PORT}"


def member_conf(member, members, vips, keys, advert_s, unicast=False, log_level="info"):
    """@keys: {"cluster", "hub", "sync": this member's private key}; names as in the file."""
    text = f"""# Written by the lab for {member.name}; the other members' differ in [Node],
# SyncPrivateKey and the name of the tunnel interface.
[Node]
Id = {member.id}
StateDirectory = {member.state_dir}
RunDirectory = {member.run_dir}
LogLevel = {log_level}

[Cluster]
Name = lab
ClusterKey = {keys["cluster"]}
SyncPrivateKey = {keys["sync"]}
MembershipEpoch = 1
"""
    for m in members:
        text += f"""
[Member {m.name}]
Id = {m.id}
SyncPublicKey = {m.sync_public_key}
SyncAddress = {m.addresses("sync")[0]}:{SYNC_PORT}
OuterAddress = {m.addresses("wan")[0]}
InnerAddress = {", ".join(m.addresses("lan"))}
"""
    text += f"""
[Hub main]
HubId = 1
Interface = {member.hub_if}
PrivateKey = {keys["hub"]}
Address = {", ".join(HUB_TUNNEL)}
MTU = 1420
"""
    for v in vips:
        outer, inner = (", ".join((f"{v4}/24 dev {link}", f"{v6}/64 dev {link}"))
                        for (v4, v6), link in ((v.outer, member.wan_if), (v.inner, member.lan_if)))
        text += f"""
[Vip {v.name}]
VipId = {v.number}
Hub = main
Port = {HUB_PORT}
Outer = {outer}
Inner = {inner}
{f"Pool = {', '.join(v.pool)}" if v.pooled else "# it serves all peers"}
Members = {", ".join(m.name for m in v.order(members))}
VridOuter = {50 + v.number}
VridInner = {60 + v.number}
"""
    return text + f"""
[Lan outer]
Interface = {member.wan_if}
Probe = {GATEWAY[0]}

[Lan inner]
Interface = {member.lan_if}
Probe = {SERVER[0]}

[Keepalived]
AdvertInterval = {round(advert_s * 1000)}ms
Mode = {"unicast" if unicast else "multicast"}
RtPriority = 50

[Drill]
Faults = on
Probe = all
"""


def life_file(member):
    """The life file of a member whose disk is known to be new. Without one a member has to take
    its empty state directory for a lost one (N6): for 540 s it would adopt no key older than its
    own start, and every second crash in a young lab would cost a handshake begun by the hub."""
    machine = Path("/etc/machine-id")
    words = machine.read_text().split() if machine.exists() else []
    hashed = hashlib.blake2b((words[0] if words else "-").encode(), digest_size=16,
                             key=b"guardmount life machine".ljust(32, b"\0")).hexdigest()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    text = (f"guardmount life 1\nmember {member.id}\nseq 1\nstarted 0\nunproved 0\n"
            f"stamps {time.time_ns()}\nmachine {hashed}\nboot {boot}\n")
    return text + f"check {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}\n"


def hub_section(client, hub_public_key, psk):
    """The hub as the client's peer."""
    return f"""[Peer]
PublicKey = {hub_public_key}
{f"PresharedKey = {psk}" if psk else "# without a preshared key"}
AllowedIPs = {", ".join(LAN_NETS + (ALL_TUNNEL_NETS if client.vip.pooled else TUNNEL_NETS))}
Endpoint = {client.endpoint}
"""


def peer_section(client, psk):
    """The client as the hub's peer, for `wg addconf`."""
    v4, v6 = client.tunnel
    return f"""[Peer]
PublicKey = {client.public_key}
{f"PresharedKey = {psk}" if psk else "# without a preshared key"}
AllowedIPs = {v4}/32, {v6}/128
"""
