"""The network of the bench, and tunnels in it.

    client 0  10.60.0.2 ---veth--- 10.60.0.1
       ...                                    hub  10.61.0.1 ---veth--- 10.61.0.2  server
    client 7  10.60.7.2 ---veth--- 10.60.7.1

    inside the tunnels: hub 10.62.0.1, client N 10.62.0.(10+N); the hub's kernel routes to the server

Namespaces live as long as a Net; tunnels are made anew for each sample.
"""

import contextlib
import fcntl
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from netns import (LabError, ROUTER_SYSCTLS, add_netns, delete_netns, end_process, ip_batch,
                   link_exists, list_netns, run, run_in, socket_answers, spawn, wait_until,
                   wg_keypair, wireguard_socket)

PREFIX = "gmt-"
HUB, SERVER = PREFIX + "hub", PREFIX + "server"
SERVER_ADDRESS, HUB_INSIDE, PORT = "10.61.0.2", "10.62.0.1", 51820
MTU = 1420
START_S, REACH_S = 10, 10
CPUS = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Layout:
    """Where things run, and what the cables can do."""
    name: str
    says: str
    clients: int = 1
    hub_cores: int = 0              # the hub on the first ones, all else on the others; 0: anywhere
    off: tuple = ()                 # features that the cables lack, as ethtool calls them

    def hub_cpus(self):
        return CPUS[:self.hub_cores] or CPUS

    def load_cpus(self):
        return CPUS[self.hub_cores:]

    def storm_cpus(self):
        """Of the sender of handshakes: a core of its own where the layout has one to spare."""
        return self.load_cpus()[-1:] if self.hub_cores else self.load_cpus()

    def ping_cpus(self):
        spare = self.hub_cores and len(self.load_cpus()) > 1
        return self.load_cpus()[:-1] if spare else self.load_cpus()


LAYOUTS = {layout.name: layout for layout in (
    Layout("open", "one client, no pinning, cables pass UDP bursts whole"),
    Layout("one-core", "the hub pinned to one core, all else on the others", hub_cores=1),
    Layout("two-cores", "the hub on two cores, all else on the others: room for handshakes beside "
           "data", hub_cores=2),
    Layout("no-uso", "cables without UDP segmentation: bursts are cut at the sender and joined "
           "by the receiver's GRO, as with most network cards", off=("tx-udp-segmentation",)),
    Layout("wire", "cables without any offload: every packet travels alone",
           off=("tso", "gso", "gro", "tx-udp-segmentation")),
    Layout("eight", "eight clients, each with its own tunnel", clients=8),
)}


@dataclass
class Client:
    number: int

    def __post_init__(self):
        self.ns, self.ifname = f"{PREFIX}c{self.number}", f"gmtc{self.number}"
        self.outside, self.gateway = f"10.60.{self.number}.2", f"10.60.{self.number}.1"
        self.inside = f"10.62.0.{10 + self.number}"
        self.private, self.public = wg_keypair()


@contextlib.contextmanager
def alone():
    """One bench at a time: namespaces and interfaces have fixed names."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(os.path.join(tempfile.gettempdir(), "gmt-bench.lock"), flags, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another tunnel bench runs; there is one at a time") from None
        yield
    finally:
        os.close(fd)


def _clear():
    for ns in list_netns(PREFIX):
        for pid in run(["ip", "netns", "pids", ns], check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        delete_netns(ns)


class Net:
    """A context manager: everything is gone afterwards."""

    def __init__(self, layout):
        self.layout = layout
        self.clients = [Client(n) for n in range(layout.clients)]
        self.hub_private, self.hub_public = wg_keypair()
        self.hub_ifname = "gmthub"
        self.hub = None                             # the process that is measured
        self.dir = tempfile.mkdtemp(prefix="gmt-")
        self.processes = []

    # ------------------------------------------------------------ namespaces

    def __enter__(self):
        try:
            _clear()                                # of a run that was killed
            add_netns(HUB, ROUTER_SYSCTLS)
            add_netns(SERVER)
            self._cable(HUB, "server", "10.61.0.1", SERVER, "eth0", SERVER_ADDRESS)
            ip_batch(SERVER, ["route add default via 10.61.0.1"])
            for c in self.clients:
                add_netns(c.ns)
                self._cable(HUB, f"c{c.number}", c.gateway, c.ns, "eth0", c.outside)
            return self
        except BaseException:
            self.__exit__()
            raise

    def _cable(self, ns1, if1, address1, ns2, if2, address2):
        ip_batch(ns1, [f"link add {if1} type veth peer name {if2} netns {ns2}"])
        for ns, ifname, address in ((ns1, if1, address1), (ns2, if2, address2)):
            ip_batch(ns, [f"addr add {address}/24 dev {ifname}", f"link set {ifname} up"])
            if self.layout.off:
                words = [w for feature in self.layout.off for w in (feature, "off")]
                run_in(ns, ["ethtool", "-K", ifname, *words])
                # A veth receives GSO bursts whole unless NAPI is on, which GRO turns on.
                if "gro" not in self.layout.off:
                    run_in(ns, ["ethtool", "-K", ifname, "gro", "on"])

    def __exit__(self, *_):
        self.tunnels_down()
        _clear()
        run(["rm", "-rf", self.dir])

    # ------------------------------------------------------------ processes

    def start(self, ns, argv, name, cpus=None, **kw):
        """A process of the load; its output goes to a file of that name."""
        cpus = ",".join(map(str, cpus or self.layout.load_cpus()))
        process = spawn(["taskset", "-c", cpus, *argv], ns, self.path(name), **kw)
        self.processes.append(process)
        return process

    def end(self, process):
        end_process(process)
        if process in self.processes:
            self.processes.remove(process)

    def path(self, name):
        return os.path.join(self.dir, name)

    def text(self, name):
        try:
            return Path(self.path(name)).read_text(errors="replace")
        except OSError:
            return ""

    def forget(self, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    # ------------------------------------------------------------ tunnels

    def _interface(self, program, ns, ifname, cpus):
        self.forget(ifname)
        process = self.start(ns, program.argv(ifname), ifname, cpus,
                             env={"WG_PROCESS_FOREGROUND": "1"})
        wait_until(lambda: socket_answers(wireguard_socket(ifname)) and link_exists(ns, ifname),
                   START_S, lambda: f"{program.name}: no interface; {self.text(ifname)[-1000:]}")
        return process

    def hub_up(self, program):
        """The hub alone: the interface is there and has its key and port."""
        self.hub = self._interface(program, HUB, self.hub_ifname, self.layout.hub_cpus())
        self.configure_hub(f"[Interface]\nPrivateKey = {self.hub_private}\nListenPort = {PORT}\n")
        ip_batch(HUB, [f"addr add {HUB_INSIDE}/16 dev {self.hub_ifname}",
                       f"link set {self.hub_ifname} mtu {MTU} up"])

    def configure_hub(self, text, command="addconf", timeout=120):
        Path(self.path("hub.conf")).write_text(text)
        run_in(HUB, ["wg", command, self.hub_ifname, self.path("hub.conf")], timeout=timeout)

    def tunnels_up(self, hub, client):
        """@hub is the program under test, @client the one that all clients run."""
        self.hub_up(hub)
        self.configure_hub("".join(f"[Peer]\nPublicKey = {c.public}\nAllowedIPs = {c.inside}/32\n"
                                   for c in self.clients))
        for c in self.clients:
            self._interface(client, c.ns, c.ifname, self.layout.load_cpus())
            run_in(c.ns, ["wg", "setconf", c.ifname, "/dev/stdin"], input=(
                f"[Interface]\nPrivateKey = {c.private}\n[Peer]\nPublicKey = {self.hub_public}\n"
                f"Endpoint = {c.gateway}:{PORT}\nAllowedIPs = 10.61.0.0/24, 10.62.0.0/16\n"))
            ip_batch(c.ns, [f"addr add {c.inside}/16 dev {c.ifname}",
                            f"link set {c.ifname} mtu {MTU} up",
                            f"route add 10.61.0.0/24 dev {c.ifname}"])
        for c in self.clients:
            self._wait_reachable(c)

    def _wait_reachable(self, c):
        wait_until(lambda: ", 0% packet loss" in run_in(
            c.ns, ["ping", "-n", "-c", 1, "-W", 1, SERVER_ADDRESS], check=False), REACH_S,
            lambda: f"client {c.number} reaches nothing; hub: {self.text(self.hub_ifname)[-500:]}")

    def tunnels_down(self):
        for process in reversed(self.processes):
            end_process(process)
        self.processes.clear()
        self.hub = None
        for ifname in [self.hub_ifname, *(c.ifname for c in self.clients)]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(wireguard_socket(ifname))


# ---------------------------------------------------------------- of processes

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(process):
    """User and system time of a process and its children, threads included."""
    ticks = 0
    for p in process.tree():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def memory_kib(process, which="VmRSS"):
    """Resident memory now (VmRSS) or at its peak (VmHWM), children included."""
    total = 0
    for p in process.tree():
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{p.pid}/status").read_text().splitlines():
                if line.startswith(which + ":"):
                    total += int(line.split()[1])
    return total


def machine_busy_seconds():
    """Of all CPUs since boot, idle and waiting for disks left out."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICK


def require_alive(process, what):
    if not process.alive():
        raise LabError(f"{what} has ended")
