"""Handshakes: how many the hub answers, what one costs it, and what a storm of them does to data.

The load comes from a namespace of its own, from an address of 10.64.0.0/16 for each of CLIENTS: it
shares nothing with the tunnels but the hub."""

from functools import lru_cache

from load import ping
from net import PORT, PREFIX, HUB, cpu_seconds
from netns import LabError, add_netns, delete_netns, ip_batch, run, wait_until
from programs import helper

CLIENTS = 4000
STORM_NS = PREFIX + "storm"
STORM_RATES = (500, 1000, 2000, 4000)
CORE_SHARE = 0.9                # of one core, for the storm that leaves the other one to data
_FIRST_SOURCE = "10.64.0.1"
_GATEWAY = "10.63.0.1"


@lru_cache(maxsize=1)
def client_keys():
    return run([helper("bench-handshakes"), "keys", CLIENTS]).split()


def _storm_up(net):
    delete_netns(STORM_NS)
    add_netns(STORM_NS)
    ip_batch(STORM_NS, [f"link add eth0 type veth peer name storm netns {HUB}",
                        "addr add 10.63.0.2/24 dev eth0", "link set eth0 up",
                        "route add local 10.64.0.0/16 dev lo"])
    ip_batch(HUB, [f"addr add {_GATEWAY}/24 dev storm", "link set storm up",
                   "route add 10.64.0.0/16 via 10.63.0.2"])
    net.configure_hub("".join(f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.65.{n >> 8}.{n & 255}/32\n"
                              for n, key in enumerate(client_keys())))


def _start(net, seconds, rate):
    """Returns when the load is warm."""
    net.forget("storm")
    process = net.start(STORM_NS, [helper("bench-handshakes"), "run", _GATEWAY, PORT,
                                   net.hub_public, _FIRST_SOURCE, CLIENTS, seconds, rate], "storm",
                        net.layout.storm_cpus())
    wait_until(lambda: "warm" in net.text("storm"), 15,
               lambda: f"the handshake load does not start: {net.text('storm')}")
    return process


def _finish(net, process, seconds):
    """{"answered", "cookies", "lost", "rate", "median_us", "p99_us"}"""
    if not process.wait(seconds + 20):
        raise LabError("the handshake load does not end")
    try:
        answered, cookies, lost, took, median, p99 = map(float, net.text("storm").split()[1:])
    except ValueError:
        raise LabError(f"handshake load: {net.text('storm')}") from None
    if not answered:
        raise LabError(f"no handshake was answered ({cookies:g} cookies, {lost:g} lost)")
    return {"answered": answered, "cookies": cookies, "lost": lost, "rate": answered / took,
            "median_us": median, "p99_us": p99}


def handshake_group(net, seconds):
    _storm_up(net)
    try:
        load = _start(net, seconds, 0)
        before = cpu_seconds(net.hub)
        closed = _finish(net, load, seconds)
        cost = (cpu_seconds(net.hub) - before) * 1e6 / closed["answered"]
        figures = {"handshake.rate": closed["rate"], "handshake.hub_us": cost,
                   "handshake.median_us": closed["median_us"], "handshake.lost": closed["lost"]}
        for rate in (0, *STORM_RATES):
            figures.update(_stormy(net, seconds, rate, f"storm{rate}"))
        core = int(CORE_SHARE * 1e6 / cost)
        figures.update(_stormy(net, seconds, core, "storm_core"))
        figures["storm_core.rate"] = core
        figures["storm_core.times"] = figures["storm_core.p99_us"] / figures["storm0.p99_us"]
    finally:
        delete_netns(STORM_NS)
    return figures


def _stormy(net, seconds, rate, key):
    """Ping while @rate handshakes a second arrive; what the hub answered of them, in percent."""
    if not rate:
        return ping(net, key, seconds)
    storm = _start(net, seconds, rate)
    figures = ping(net, key, seconds)
    figures[f"{key}.answered"] = 100 * _finish(net, storm, seconds)["rate"] / rate
    return figures
