"""Active/active: three members, three VIPs, each member the owner of one."""

import signal
import time

import pytest

from netns import ip_batch, run_in, wait_until
from plan import SERVER_NS
from test_cluster_crash import judge
from traffic import Traffic

MEMBERS, CLIENTS, VIPS = 3, 6, 3
KINDS = ("ping", "server-only", "tcp-up", "tcp-down", "udp-10", "ping6")
UNTOUCHED_GAP_S = 0.2
ROUTE_PROTOCOL = "71"           # our mark, 'G'


def routes(m):
    """{destination: sibling's LAN address, or None for the tunnel} of our routes on a member."""
    found = {}
    for family in ("-4", "-6"):
        for line in run_in(m.netns, ["ip", family, "route", "show", "proto",
                                     ROUTE_PROTOCOL]).splitlines():
            words = line.split()
            found[words[0]] = words[words.index("via") + 1] if "via" in words else None
    return found


def expected_routes(lab, m, owners, guests):
    return {net: None if owners[v] is m else owners[v].addresses("lan")[":" in net]
            for v, nets in [(v, v.pool) for v in lab.vips] + guests for net in nets}


def wait_routes(lab, owners, members, guests=()):
    """@guests: (VIP that it uses, addresses) of each client that uses another VIP than its own."""
    end = time.monotonic() + 3
    while any(routes(m) != expected_routes(lab, m, owners, list(guests)) for m in members):
        assert time.monotonic() < end, [(m.name, routes(m)) for m in members]
        time.sleep(0.05)


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.long),
                                    pytest.param(3, marks=pytest.mark.long)])
def test_a_crash_moves_the_sessions_of_one_vip_and_touches_no_other(lab, number):
    vip = lab.vips[number - 1]
    owner = lab.owner(vip)
    assert owner is lab.members[number - 1], "each member is MASTER of its share"
    before = {m.name: lab.adopted(m) for m in lab.members}
    owners = {v: lab.owner(v) for v in lab.vips}
    wait_routes(lab, owners, lab.members)
    with Traffic(lab, kinds=KINDS, shift=number) as traffic:
        fault = lab.power_cut(owner)
        time.sleep(2)
        results = traffic.finish(fault)
        judge(lab, fault, results)
    for kind, r in results.items():
        if traffic.clients[kind].vip != vip:
            assert r.gap < UNTOUCHED_GAP_S, f"{kind} uses another VIP: {r}"
    heir = lab.wait_owner(among=lab.others(owner), vip=vip)
    assert heir is vip.order(lab.members)[1], "the second of its Members"
    adopted = sum((lab.adopted(m) - before[m.name]).total() for m in lab.others(owner))
    served = sum(c.vip == vip for c in lab.clients)
    assert adopted == served, f"{served} clients talk to the VIP, {adopted} sessions were adopted"
    wait_routes(lab, {**owners, vip: heir}, lab.others(owner))


def test_what_enters_at_the_wrong_member_reaches_the_owner_in_one_hop(lab):
    """The LAN sends everything to one member. Each packet passes one member more than it must, not
    two: server, wrong member, owner, client are three hops."""
    entry = lab.members[1]
    pairs = [(c, n) for c in lab.clients for n in (0, 1)]
    ip_batch(SERVER_NS, [f"route replace {c.tunnel[n]} via {entry.addresses('lan')[n]}"
                         for c, n in pairs])
    try:
        for c, n in pairs:
            hops = 2 if lab.owner(c.vip) is entry else 3
            for ttl, answer in ((hops, ", 0% packet loss"), (hops - 1, "exceeded")):
                said = run_in(SERVER_NS, ["ping", "-n", "-c", "1", "-W", "1", "-t", str(ttl),
                                          c.tunnel[n]], check=False)
                assert answer.lower() in said.lower(), f"{c.name} with TTL {ttl}: {said}"
                assert "redirect" not in said.lower(), said
    finally:
        ip_batch(SERVER_NS, [f"route del {c.tunnel[n]}" for c, n in pairs])


def test_a_client_that_changes_the_vip_keeps_its_session_and_is_followed(lab):
    owners = {v: lab.owner(v) for v in lab.vips}
    wait_routes(lab, owners, lab.members)
    for direction in ("away", "home"):
        with Traffic(lab, kinds=("ping",)) as traffic:
            client = traffic.clients["ping"]
            home, away = client.vip, next(v for v in lab.vips if v != client.vip)
            fault = lab.use_vip(client, away if direction == "away" else home)
            time.sleep(1)
            judge(lab, fault, traffic.finish(fault))
        wait_routes(lab, owners, lab.members, [(away, client.tunnel)] if direction == "away" else ())
        lab.wait_reachable([client])


@pytest.mark.long
def test_a_member_whose_cable_comes_and_goes_is_left_alone_for_a_while(lab):
    vip, m = lab.vips[0], lab.members[0]
    with open(m.conf, encoding="utf-8") as f:
        before = f.read()

    def configure(text):
        with open(m.conf, "w", encoding="utf-8") as f:
            f.write(text)
        m.daemon.signal(signal.SIGHUP)

    def withheld():
        return next(v for v in lab.status(m)["vips"] if v["name"] == vip.name).get("withheld")

    def flap():
        lab.cut(m, "wan")
        heir = lab.wait_owner(among=lab.others(m), vip=vip)
        lab.heal(m)
        return heir

    configure(before + "\n[Failover]\nFlapLimit = 2\nSuppressTime = 4s\n")
    try:
        flap()
        wait_until(lambda: lab.owns(m, vip), 5, "the VIP does not come back after one loss")
        time.sleep(1)                              # what happens within a second is one incident
        heir = flap()
        wait_until(lambda: withheld() == "flapping", 1, "two losses are no flapping")
        time.sleep(2)
        assert lab.owns(heir, vip) and not lab.owns(m, vip), "it went back to who flaps"
        wait_until(lambda: lab.owns(m, vip), 6, "the VIP does not come back when it is forgotten")
        assert withheld() is None
    finally:
        configure(before)
