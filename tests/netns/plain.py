"""Plain mode: `guardmountd IFNAME` as a drop-in userspace WireGuard, between two namespaces.

    left  10.50.0.1 fd50::1  =====  10.50.0.2 fd50::2  right       (plus .11/.12 second addresses)
"""

import os
import re
import signal
import socket
import subprocess
import tempfile

from netns import (LabError, add_netns, delete_netns, end_process, ip_batch, link_exists, run,
                   run_in, socket_answers, spawn, wait_until, wg_keypair, wireguard_socket)
from premises import BIN_DIR

# ./dev test runs the files of these tests side by side: each of its workers has names of its own,
# also for interfaces, whose sockets all namespaces share.
LANE = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
PREFIX = f"gmp{LANE}-"
GUARDMOUNTD = str(BIN_DIR / "guardmountd")
WIREGUARD_GO = "wireguard-go"
PORT = 51820
START_S = 10


class Side:
    """One end: a namespace, an interface made by one implementation, and its keys."""

    def __init__(self, net, name, number):
        self.net, self.ns, self.number = net, PREFIX + name, number
        self.ifname = f"gmp{LANE}{name[:5]}"
        self.private, self.public = wg_keypair()
        self.outside = (f"10.50.0.{number}", f"fd50::{number}")
        self.second = (f"10.50.0.1{number}", f"fd50::1{number}")
        self.inside = (f"10.51.0.{number}", f"fd51::{number}")
        self.process = None

    def start(self, program, foreground=True, env=None):
        """Create the interface with @program and wait until it can be configured."""
        self.process = spawn([program, *(["-f"] if foreground else []), self.ifname], self.ns,
                             self.net.log(self.ifname),
                             {"WG_PROCESS_FOREGROUND": "1", **(env or {})} if foreground else env)
        self.net.processes.append(self.process)
        wait_until(lambda: socket_answers(wireguard_socket(self.ifname)), START_S,
                   f"{program} {self.ifname}: no socket; {self.net.log_text(self.ifname)}")
        return self

    def configure(self, port=None, peers=()):
        """Private key, port and addresses; peers: (Side, endpoint or None, psk or None)."""
        text = f"[Interface]\nPrivateKey = {self.private}\n"
        text += f"ListenPort = {port}\n" if port else ""
        for peer, endpoint, psk in peers:
            text += f"[Peer]\nPublicKey = {peer.public}\n"
            text += f"AllowedIPs = {peer.inside[0]}/32, {peer.inside[1]}/128\n"
            text += f"Endpoint = {endpoint}\n" if endpoint else ""
            text += f"PresharedKey = {psk}\n" if psk else ""
        run_in(self.ns, ["wg", "setconf", self.ifname, "/dev/stdin"], input=text)
        ip_batch(self.ns, [f"addr replace {self.inside[0]}/24 dev {self.ifname}",
                           f"addr replace {self.inside[1]}/64 dev {self.ifname} nodad",
                           f"link set {self.ifname} mtu 1420 up"])

    def wg(self, command, *args, **kw):
        return run_in(self.ns, ["wg", command, self.ifname, *args], **kw)

    def show(self, what, peer):
        """One peer's value of `wg show IF what`."""
        for row in self.wg("show", what).splitlines():
            key, _, value = row.partition("\t")
            if key == peer.public:
                return value
        return None

    def pings(self, peer, count=1, size=56, timeout=1):
        """Do both families reach @peer through the tunnel?"""
        return all(", 0% packet loss" in run_in(
            self.ns, ["ping", "-n", "-c", count, "-i", "0.05", "-s", size, "-W", timeout, address],
            check=False) for address in peer.inside)

    def handshake_at(self, peer):
        return int(self.show("latest-handshakes", peer) or 0)

    def transfer(self, peer):
        return tuple(int(n) for n in self.show("transfer", peer).split("\t"))

    def stop(self):
        end_process(self.process)
        self.process = None

    def has_interface(self):
        return link_exists(self.ns, self.ifname)


class PlainNet:
    """Two namespaces and a cable. A context manager: everything is gone afterwards."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="gmp-")
        self.processes = []
        self.names = []
        self.left, self.right = Side(self, "left", 1), Side(self, "right", 2)

    def log(self, name):
        return os.path.join(self.dir, f"{name}.log")

    def log_text(self, name):
        try:
            with open(self.log(name), errors="replace") as f:
                return f.read()[-2000:]
        except OSError:
            return ""

    def add_netns(self, name):
        add_netns(PREFIX + name)
        self.names.append(PREFIX + name)
        return PREFIX + name

    def __enter__(self):
        try:
            for name in ("left", "right"):
                delete_netns(PREFIX + name)        # of a run that was killed
                self.add_netns(name)
            ip_batch(self.left.ns, ["link add eth0 type veth peer name eth0 netns "
                                    + self.right.ns])
            for side in (self.left, self.right):
                ip_batch(side.ns, ["link set eth0 up"] + [
                    f"addr add {a}/{64 if ':' in a else 24} dev eth0{' nodad' if ':' in a else ''}"
                    for a in side.outside])
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for p in self.processes:
            end_process(p, 1.0)
        for ns in self.names:
            for pid in run(["ip", "netns", "pids", ns], check=False).split():
                _kill_ours(int(pid))
            delete_netns(ns)
        for side in (self.left, self.right):
            try:
                os.unlink(wireguard_socket(side.ifname))
            except FileNotFoundError:
                pass
        run(["rm", "-rf", self.dir])


def _kill_ours(pid):
    """A daemonized process in a namespace that we made: it has no parent of ours any more."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def endpoint(address, port=PORT):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def connect(net, family, psk=None, initiator="stock", both_known=False):
    """Ours on the left, stock on the right; @initiator is the side that knows the other."""
    ours, stock = net.left.start(GUARDMOUNTD), net.right.start(WIREGUARD_GO)
    ours_knows = initiator == "ours" or both_known
    stock_knows = initiator == "stock" or both_known
    ours.configure(PORT, [(stock, endpoint(stock.outside[family]) if ours_knows else None, psk)])
    stock.configure(PORT, [(ours, endpoint(ours.outside[family]) if stock_knows else None, psk)])
    return ours, stock


def uapi(ifname, request, timeout=10.0):
    """Send @request to the UAPI socket and return the reply as text."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout)
        s.connect(wireguard_socket(ifname))
        s.sendall(request.encode())
        reply = b""
        while not reply.endswith(b"\n\n"):
            part = s.recv(1 << 20)
            if not part:
                break
            reply += part
        return reply.decode()


def exit_status_in(ns, argv, env=None, timeout=15):
    """(exit status, output) of a program that is expected to end or to go to the background."""
    with tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(["ip", "netns", "exec", ns, *argv], stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, timeout=timeout,
                                  env={**os.environ, **(env or {})})
        except subprocess.TimeoutExpired:
            raise LabError(f"{' '.join(argv)}: still running after {timeout} s") from None
        out.seek(0)
        return done.returncode, out.read().decode(errors="replace")


def genkey(*arguments):
    """{"SyncPrivateKey", "SyncPublicKey"}; with --cluster {"ClusterKey"}."""
    return dict(re.findall(r"^(\w+) = (\S+)$", run([BIN_DIR / "guardmount", "genkey", *arguments]),
                           re.M))


def lone_member(home, name, interface, hub_key, outer, node="", hub=""):
    """Configuration of a cluster of one; @node, @hub: more lines of these sections."""
    own = genkey()
    return f"""[Node]
Id = 1
StateDirectory = {home}/state
RunDirectory = {home}/run
{node}[Cluster]
Name = {name}
ClusterKey = {genkey("--cluster")["ClusterKey"]}
SyncPrivateKey = {own["SyncPrivateKey"]}
SoloStartAfter = 0
[Member m1]
Id = 1
SyncPublicKey = {own["SyncPublicKey"]}
SyncAddress = 127.0.0.1:51900
[Hub main]
HubId = 1
Interface = {interface}
PrivateKey = {hub_key}
Address = 10.77.0.1/24
{hub}[Vip main]
VipId = 1
Hub = main
Outer = {outer}
Members = m1
VridOuter = 51
"""
