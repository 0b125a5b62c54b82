#!/usr/bin/python3
"""The lab: a whole Guardmount cluster on one machine, every box in a network namespace.

    ./dev lab up [--members N] [--clients N] [--vips N] [--advert S] [--json]
    ./dev lab down | status [--json]
    ./dev lab power-off M | power-on M | stop M | start M | kill-daemon M | freeze M | thaw M
    ./dev lab cut M wan|lan|sync | isolate M wan|lan|sync | heal M

Real guardmountd, real keepalived, stock clients (wireguard-go and wg); plan.py draws the network.
The tests, the demo and the bench use class Lab of this file. There is one lab at a time.
"""

import argparse
import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import plan
from capture import Capture
from netns import (LabError, Process, ROUTER_SYSCTLS, add_netns, addresses, delete_netns,
                   ip_batch, link_exists, list_netns, mac_of, processes_with_env,
                   require_programs, require_root, run, run_in, set_link, socket_answers, spawn,
                   stop_on_signals, wait_until, wg_keypair, wireguard_socket)
from plan import Client, Member, SERVER_NS, SWITCH_NS

ROOT = Path(__file__).resolve().parents[2]
BIN_DIR = Path(os.environ.get("GUARDMOUNT_BIN", ROOT / "build" / "bin"))
LAB_DIR = os.path.join(tempfile.gettempdir(), "gml-lab")
LOCK_FILE = LAB_DIR + ".lock"
STATE_FILE = os.path.join(LAB_DIR, "state.json")
ENV_MARK = "GUARDMOUNT_LAB"          # in the environment of every process of the lab

DAEMON_START_S, SYNC_S, OWNER_S, REACH_S = 15, 20, 20, 15
DAEMON_END_S = 10
KEEPALIVED_END_S = 12                       # it waits for its own children for up to 5 s


# ---------------------------------------------------------------- one lab at a time

class _Lock:
    def __init__(self):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.fd = os.open(LOCK_FILE, flags, 0o600)

    def take(self, patience_s, say):
        end, told = time.monotonic() + patience_s, False
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(self.fd, 200, 0).decode(errors="replace").strip()
                if time.monotonic() >= end:
                    self.release()
                    raise LabError(f"another run uses the lab ({holder or 'unknown'}); there is "
                                   "one at a time: wait for it to end") from None
                if not told:
                    say(f"waiting for the lab: {holder}")
                    told = True
                time.sleep(0.2)
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"pid {os.getpid()}: {' '.join(sys.argv)[:150]}\n".encode(), 0)

    def release(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _quiet(_text):
    pass


def _make_lab_dir():
    """A directory of root's own: others may write to the system temp directory."""
    try:
        os.mkdir(LAB_DIR, 0o700)
    except FileExistsError:
        info = os.lstat(LAB_DIR)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o077:
            raise LabError(f"{LAB_DIR} is there and is not root's own directory: "
                           "look at it and remove it") from None


# ---------------------------------------------------------------- the lab

class Lab:
    """Use Lab.up(...) as a context manager, or Lab.load() to work on the one that stands."""

    def __init__(self, members, clients, advert, unicast, kept=False, say=_quiet, vips=1):
        self.members, self.clients, self.vips = members, clients, plan.all_vips(vips)
        self.advert, self.unicast, self.kept, self.say = advert, unicast, kept, say
        self.hub_public_key = ""
        self.captures = []
        self.complete = False
        self._lock = None
        self._saving = threading.Lock()

    # ------------------------------------------------------------ making it

    @classmethod
    def up(cls, members=2, clients=2, advert=0.1, unicast=False, kept=False, patience_s=0,
           log_level="info", capture=False, say=_quiet, vips=1):
        """Build it and return when clients and server reach each other.
        @kept: outlives this process (`lab up`). @capture: record the members' WAN ports from
        the first packet on."""
        require_root("the lab")
        require_programs("ip", "wg", "wireguard-go", "keepalived", "nft", "ping")
        for name in ("guardmountd", "guardmount"):
            if not os.access(BIN_DIR / name, os.X_OK):
                raise LabError(f"{BIN_DIR / name} is not there: run ./dev build")
        if not 1 <= members <= plan.MEMBERS_MAX or not 0 <= clients <= plan.CLIENTS_MAX:
            raise LabError(f"1 to {plan.MEMBERS_MAX} members, up to {plan.CLIENTS_MAX} clients")
        if not 1 <= vips <= plan.VIPS_MAX:
            raise LabError(f"1 to {plan.VIPS_MAX} VIPs")
        lock = _Lock()
        lock.take(patience_s, say)
        try:
            _clear_remains_of_a_crash()
            _make_lab_dir()
        except BaseException:
            lock.release()
            raise
        self = None
        try:
            self = cls([Member(f"m{n}", n, os.path.join(LAB_DIR, f"m{n}"))
                        for n in range(1, members + 1)],
                       [Client(f"c{n}", n, os.path.join(LAB_DIR, f"c{n}"), vip=vip)
                        for n, vip in zip(range(1, clients + 1), cycle(plan.all_vips(vips)))],
                       advert, unicast, kept, say, vips)
            self._lock = lock
            self._save()
            self._build(log_level, capture)
            self.complete = True
            self._save()
        except BaseException:
            if self is not None:
                self._describe_failure()
            if not os.environ.get("GUARDMOUNT_LAB_KEEP"):
                _remove_everything()
            lock.release()
            raise
        if kept:
            lock.release()
            self._lock = None
        return self

    def _build(self, log_level, capture):
        for m in self.members + self.clients:
            os.mkdir(m.dir, 0o700)
        with ThreadPoolExecutor(8) as pool:
            _all(pool, self._make_namespaces())
        self._plug()
        with ThreadPoolExecutor(8) as pool:
            _all(pool, [lambda m=m: self._address_member(m) for m in self.members]
                 + [lambda c=c: self._address_client(c) for c in self.clients]
                 + [self.address_server])
        if capture:
            self.capture_members()
        self._write_configurations(log_level)
        self.say("starting the members")
        with ThreadPoolExecutor(8) as pool:
            _all(pool, [lambda m=m: self._start_daemon(m) for m in self.members])
            _all(pool, [lambda m=m: self._start_keepalived(m) for m in self.members])
        self._add_peers()
        with ThreadPoolExecutor(8) as pool:
            _all(pool, [lambda c=c: self._start_client(c) for c in self.clients])
        self.say("waiting for owners, and for all members to be in sync")
        self.wait_owners()
        self.wait_in_sync()
        self.say("waiting for clients and server to reach each other")
        self.wait_reachable()

    def _make_namespaces(self):
        jobs = [lambda: add_netns(SWITCH_NS), lambda: add_netns(SERVER_NS)]
        jobs += [lambda m=m: add_netns(m.netns, ROUTER_SYSCTLS) for m in self.members]
        return jobs + [lambda c=c: add_netns(c.netns) for c in self.clients]

    def _plug(self):
        lines = []
        for lan in plan.LANS:
            lines += [f"link add {lan} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                      f"link set {lan} up"]
        lines += [f"addr add {plan.GATEWAY[0]}/24 dev wan",
                  f"addr add {plan.GATEWAY[1]}/64 dev wan nodad"]
        plugs = [(m.port(lan), m.interface(lan), m.netns, lan)
                 for m in self.members for lan in plan.LANS]
        plugs += [(f"{c.name}-wan", c.wan_if, c.netns, "wan") for c in self.clients]
        plugs += [("srv-lan", "lan0", SERVER_NS, "lan")]
        for port, ifname, ns, bridge in plugs:
            lines += [f"link add {port} type veth peer name {ifname} netns {ns}",
                      f"link set {port} master {bridge} up"]
        ip_batch(SWITCH_NS, lines)

    def _address_member(self, m):
        lines = []
        for lan in plan.LANS:
            link, (v4, v6) = m.interface(lan), m.addresses(lan)
            lines += [f"link set {link} up", f"addr replace {v4}/24 dev {link}",
                      f"addr replace {v6}/64 dev {link} nodad"]
        ip_batch(m.netns, lines)

    def _address_client(self, c):
        v4, v6 = c.addresses()
        ip_batch(c.netns, [f"link set {c.wan_if} up", f"addr add {v4}/24 dev {c.wan_if}",
                           f"addr add {v6}/64 dev {c.wan_if} nodad"])

    def address_server(self, ns=SERVER_NS):
        ip_batch(ns, ["link set lan0 up", f"addr add {plan.SERVER[0]}/24 dev lan0",
                      f"addr add {plan.SERVER[1]}/64 dev lan0 nodad"]
                 + [f"route add {net} via {via}"
                    for v in [plan.VIP] + [v for v in self.vips if v.pooled]
                    for net, via in zip(v.pool, v.inner)])

    def _write_configurations(self, log_level):
        keys = {"cluster": base64.b64encode(os.urandom(32)).decode()}
        keys["hub"], self.hub_public_key = wg_keypair()
        sync_keys = {}
        for m in self.members:
            sync_keys[m.name], m.sync_public_key = wg_keypair()
        for m in self.members:
            os.mkdir(m.run_dir, 0o700)
            os.mkdir(m.state_dir, 0o700)
            _write_private(os.path.join(m.state_dir, "life"), plan.life_file(m))
            _write_private(m.conf, plan.member_conf(
                m, self.members, self.vips, {**keys, "sync": sync_keys[m.name]}, self.advert,
                self.unicast, log_level))
        peers = ""
        for c in self.clients:
            private, c.public_key = wg_keypair()
            psk = run(["wg", "genpsk"]).strip() if c.with_psk else None
            peer = plan.hub_section(c, self.hub_public_key, psk)
            _write_private(os.path.join(c.dir, "wg.conf"),
                           f"[Interface]\nPrivateKey = {private}\n\n{peer}")
            _write_private(os.path.join(c.dir, "wg.conf.peer"), peer)
            peers += plan.peer_section(c, psk)
        _write_private(os.path.join(LAB_DIR, "peers.conf"), peers)
        self._save()

    # ------------------------------------------------------------ processes of a member

    def _environment(self):
        return {ENV_MARK: LAB_DIR}

    def _start_daemon(self, m):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(m.control)
        # The kernel takes a killed process's interface away a moment after the process.
        wait_until(lambda: not link_exists(m.netns, m.hub_if), 3, f"{m.hub_if} is still there")
        m.daemon = spawn([BIN_DIR / "guardmountd", "-c", m.conf, "-f"], m.netns, m.log,
                         self._environment())
        self._save()
        wait_until(lambda: (socket_answers(m.control)
                            and socket_answers(wireguard_socket(m.hub_if)))
                   or not m.daemon.alive(), DAEMON_START_S,
                   f"{m.name}: the daemon's sockets; see {m.log}")
        if not m.daemon.alive():
            raise LabError(f"{m.name}: guardmountd ended with {m.daemon.exit_status()}: "
                           f"{_tail(m.log)}")

    def _start_keepalived(self, m):
        run_in(m.netns, [BIN_DIR / "guardmount", "ha", "render", "-c", m.conf,
                         "-o", m.keepalived_conf])
        pids = [os.path.join(m.dir, f"keepalived-{part}.pid") for part in ("main", "vrrp")]
        for path in pids:                          # left behind by a kill -9
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        m.keepalived = spawn(["keepalived", "-n", "-l", "-G", "-D", "-P", "-f", m.keepalived_conf,
                              "-p", pids[0], "-r", pids[1]], m.netns, m.keepalived_log,
                             self._environment())
        self._save()

    def _add_peers(self):
        """On one member; the cluster tells the others."""
        if self.clients:
            self.wg(self.members[0], "addconf", os.path.join(LAB_DIR, "peers.conf"))

    def _start_client(self, c):
        c.process = spawn(["wireguard-go", "-f", c.ifname], c.netns, c.log,
                          {**self._environment(), "WG_PROCESS_FOREGROUND": "1"})  # no banner
        self._save()
        wait_until(lambda: socket_answers(wireguard_socket(c.ifname)), DAEMON_START_S,
                   f"{c.name}: wireguard-go; see {c.log}")
        run_in(c.netns, ["wg", "setconf", c.ifname, os.path.join(c.dir, "wg.conf")])
        v4, v6 = c.tunnel
        ip_batch(c.netns, [f"addr add {v4}/32 dev {c.ifname}", f"addr add {v6}/128 dev {c.ifname}",
                           f"link set {c.ifname} mtu 1420 up"]
                 + [f"route add {net} dev {c.ifname}" for net in plan.LAN_NETS + (
                     plan.ALL_TUNNEL_NETS if c.vip.pooled else plan.TUNNEL_NETS)])

    # ------------------------------------------------------------ looking at it

    def member(self, name):
        return _named(self.members, name, "member")

    def client(self, name):
        return _named(self.clients, name, "client")

    def exec_in(self, box, argv, **kw):
        """Run a command in the namespace of a member, a client, or one named by a string."""
        return run_in(getattr(box, "netns", box), argv, **kw)

    def wg(self, m, command, *args, **kw):
        return run_in(m.netns, ["wg", command, m.hub_if, *args], **kw)

    def status(self, m):
        """What `guardmount status --json` says; {} when the daemon does not answer."""
        try:
            return json.loads(run([BIN_DIR / "guardmount", "-s", m.control, "--json", "status"],
                                  timeout=5))
        except (LabError, ValueError):
            return {}

    def metrics(self, m):
        """{"name{labels}": value} of `guardmount metrics`."""
        text = run([BIN_DIR / "guardmount", "-s", m.control, "metrics"], timeout=5)
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def adopted(self, m):
        """Counter of sessions that the member took over since it started, by mode."""
        counted = Counter()
        for name, value in self.metrics(m).items():
            found = re.match(r'guardmount_(?:session_)?adopted_total\{.*mode="(\w+)"', name)
            if found:
                counted[found.group(1)] += int(value)
        return counted

    def holders(self, vip=plan.VIP):
        """Members that run and have all outer and inner addresses of the VIP."""
        wanted = set(vip.outer + vip.inner)
        return [m for m in self.members if m.powered and wanted <= addresses(m.netns)]

    def owner(self, vip=plan.VIP):
        """The one member that holds the VIP, or None when it is nobody or not clear."""
        held = self.holders(vip)
        return held[0] if len(held) == 1 else None

    def others(self, *but):
        return [m for m in self.members if m not in but]

    def in_sync(self, m):
        return bool(self.status(m).get("in_sync"))

    def wait_owner(self, among=None, timeout=OWNER_S, vip=plan.VIP):
        """One member alone holds the VIP (one of @among) and says that it owns it."""
        def settled():
            m = self.owner(vip)
            return m if m and (among is None or m in among) and self.owns(m, vip) else None
        return wait_until(settled, timeout, self._describe)

    def wait_owners(self, timeout=OWNER_S):
        """Each VIP is where it belongs: with the preferred member if there are several VIPs."""
        for v in self.vips:
            self.wait_owner(v.order(self.members)[:1] if v.pooled else None, timeout, v)

    def owns(self, m, vip=plan.VIP):
        """Does the daemon itself say that it owns the VIP?"""
        return any(v.get("name") == vip.name and v.get("owned")
                   for v in self.status(m).get("vips", []))

    def wait_in_sync(self, members=None, timeout=SYNC_S):
        wanted = [m for m in members or self.members if m.powered]
        if len(wanted) > 1:
            wait_until(lambda: all(self.in_sync(m) for m in wanted), timeout, self._describe)

    def wait_reachable(self, clients=None, timeout=REACH_S):
        clients = self.clients if clients is None else clients
        if clients:
            with ThreadPoolExecutor(16) as pool:
                _all(pool, [lambda c=c: self._reach(c, timeout) for c in clients])

    def _reach(self, c, timeout):
        pairs = [(c.netns, a) for a in plan.SERVER] + [(SERVER_NS, a) for a in c.tunnel]
        for ns, address in pairs:
            wait_until(lambda: self.ping(ns, address), timeout,
                       lambda: f"{ns} does not reach {address}; {self._describe()}")

    def ping(self, ns, address):
        return ", 0% packet loss" in run_in(
            ns, ["ping", "-n", "-c", "1", "-W", "1", address], check=False)

    def _describe(self):
        words = []
        for m in self.members:
            daemon = "up" if m.daemon and m.daemon.alive() else "down"
            keepalived = "up" if m.keepalived and m.keepalived.alive() else "down"
            words.append(f"{m.name}: daemon {daemon}, keepalived {keepalived}, "
                         f"holds {[v.name for v in self.vips if m in self.holders(v)]}, "
                         f"{'' if self.in_sync(m) else 'not '}in sync")
        return "; ".join(words)

    def _describe_failure(self):
        """Why it did not come up: the last words of everybody."""
        for box in self.members + self.clients:
            for path in (getattr(box, "log", None), getattr(box, "keepalived_log", None)):
                if path and os.path.exists(path) and _tail(path):
                    self.say(f"--- {path}\n{_tail(path, 12)}")

    # ------------------------------------------------------------ faults: each returns its time

    def power_cut(self, m):
        """The machine is gone: its links, and every process at once."""
        victims = [p for q in (m.keepalived, m.daemon) if q for p in q.tree()]
        m.powered = False
        fault = time.time()
        for p in victims:          # the processor stops with the links: nothing reacts to them
            p.signal(signal.SIGSTOP)
        for lan in plan.LANS:
            set_link(SWITCH_NS, m.port(lan), up=False)
        for p in victims:
            p.signal(signal.SIGKILL)
        self._ended(m, victims)
        return fault

    def kill_daemon(self, m):
        """kill -9 of the daemon alone; its sentinel and keepalived live on."""
        fault = time.time()
        m.daemon.signal(signal.SIGKILL)
        self._ended(m, [m.daemon])
        return fault

    def _ended(self, m, victims):
        for p in victims:
            if not p.wait(5):
                raise LabError(f"{m.name}: pid {p.pid} does not end")
        if m.daemon and not m.daemon.alive():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(wireguard_socket(m.hub_if))
        self._save()

    def freeze(self, m, whole_machine=False):
        """SIGSTOP of the daemon; or of everything on the machine, as when its VM is paused."""
        victims = m.keepalived.tree() + m.daemon.tree() if whole_machine else [m.daemon]
        fault = time.time()
        for p in victims:
            p.signal(signal.SIGSTOP)
        return fault

    def thaw(self, m):
        thawed = time.time()
        for p in m.keepalived.tree() + m.daemon.tree():
            p.signal(signal.SIGCONT)
        return thawed

    def stop_member(self, m):
        """A machine that shuts down in order: keepalived first, then the daemon."""
        fault = time.time()
        m.keepalived.signal(signal.SIGTERM)
        if not m.keepalived.wait(KEEPALIVED_END_S):
            raise LabError(f"{m.name}: keepalived does not stop")
        self._stop_daemon(m)
        return fault

    def stop_daemon(self, m):
        """Only the daemon is stopped (systemctl stop); keepalived runs on."""
        fault = time.time()
        self._stop_daemon(m)
        return fault

    def _stop_daemon(self, m):
        m.daemon.signal(signal.SIGTERM)
        if not m.daemon.wait(DAEMON_END_S):
            raise LabError(f"{m.name}: guardmountd does not stop; see {m.log}")
        self._save()

    def start_member(self, m):
        """What is down of it comes up again; after a power cut the machine boots: its links
        have only their own addresses, and its run directory is empty."""
        if not m.powered:
            self._boot(m)
        if not m.daemon.alive():
            self._start_daemon(m)
        if not m.keepalived.alive():
            self._start_keepalived(m)

    def _boot(self, m):
        for lan in plan.LANS:
            ip_batch(m.netns, [f"addr flush dev {m.interface(lan)}",
                               f"link set {m.interface(lan)} down"])
        shutil.rmtree(m.run_dir)
        os.mkdir(m.run_dir, 0o700)
        for lan in plan.LANS:
            set_link(SWITCH_NS, m.port(lan), up=True)
        self._address_member(m)
        m.powered = True

    def cut(self, m, lan, silent=False):
        """Unplug a cable: the carrier goes. @silent: the switch forwards nothing any more, and
        the member sees nothing of it."""
        fault = time.time()
        if silent:
            ip_batch(SWITCH_NS, [f"link set {m.port(lan)} nomaster"])
        else:
            set_link(SWITCH_NS, m.port(lan), up=False)
        m.faults.append(["isolate" if silent else "cut", lan])
        self._save()
        return fault

    def block_vrrp(self, m):
        """The member neither hears nor says VRRP; all else passes."""
        fault = time.time()
        chains = "".join(f"chain {hook} {{\n type filter hook {hook} priority -400;\n"
                         " meta l4proto 112 drop\n}\n" for hook in ("input", "output"))
        run_in(m.netns, ["nft", "-f", "-"], input=f"table inet gml_vrrp {{\n{chains}}}\n")
        m.faults.append(["vrrp"])
        self._save()
        return fault

    def heal(self, m):
        """Undo cut() and block_vrrp()."""
        healed = time.time()
        for fault in m.faults:
            if fault[0] == "vrrp":
                run_in(m.netns, ["nft", "delete", "table", "inet", "gml_vrrp"])
            elif fault[0] == "isolate":
                ip_batch(SWITCH_NS, [f"link set {m.port(fault[1])} master {fault[1]}"])
            else:
                set_link(SWITCH_NS, m.port(fault[1]), up=True)
        m.faults = []
        self._save()
        return healed

    def roam_client(self, c):
        """The client moves to its other address on the WAN. Returns the new one."""
        old, new = c.addresses(), c.addresses(not c.roamed)
        ip_batch(c.netns, [f"addr add {new[0]}/24 dev {c.wan_if}",
                           f"addr add {new[1]}/64 dev {c.wan_if} nodad",
                           f"addr del {old[0]}/24 dev {c.wan_if}",
                           f"addr del {old[1]}/64 dev {c.wan_if}"])
        # wireguard-go remembers its own address for the peer, and gives it up only for EINVAL;
        # newer kernels say ENETUNREACH. The same endpoint again clears it.
        run_in(c.netns, ["wg", "set", c.ifname, "peer", self.hub_public_key,
                         "endpoint", c.endpoint])
        c.roamed = not c.roamed
        self._save()
        return c.wan_address

    def reconnect_client(self, c):
        """The client begins anew, as if it had just come: a new session at once, without the
        15 s that its timers would take to give up the old one."""
        run_in(c.netns, ["wg", "set", c.ifname, "peer", self.hub_public_key, "remove"])
        run_in(c.netns, ["wg", "addconf", c.ifname, os.path.join(c.dir, "wg.conf.peer")])

    def use_vip(self, c, vip):
        """The client is told another endpoint, and keeps its session."""
        run_in(c.netns, ["wg", "set", c.ifname, "peer", self.hub_public_key,
                         "endpoint", plan.endpoint_of(vip, c.over_ipv6)])
        return time.time()

    def add_attacker(self):
        """One more box on the WAN. Returns its namespace."""
        if not list_netns(plan.ATTACKER_NS):
            add_netns(plan.ATTACKER_NS)
            ip_batch(SWITCH_NS, ["link add atk-wan type veth peer name wan0 netns "
                                 + plan.ATTACKER_NS, "link set atk-wan master wan up"])
            ip_batch(plan.ATTACKER_NS, ["link set wan0 up",
                                        f"addr add {plan.ATTACKER[0]}/24 dev wan0",
                                        f"addr add {plan.ATTACKER[1]}/64 dev wan0 nodad"])
        return plan.ATTACKER_NS

    def restore(self):
        """Everything as after up(): all healed, thawed, powered, in sync, reachable."""
        for m in self.members:
            self.heal(m)
            if m.powered and m.daemon.alive() and m.keepalived.alive():
                self.thaw(m)
            self.start_member(m)
        self.wait_owners()
        self.wait_in_sync()
        self.wait_reachable()

    # ------------------------------------------------------------ captures

    def capture_members(self):
        """Record every member's WAN port from now on; audit_ports() names the files."""
        files = {m.port("wan"): os.path.join(LAB_DIR, f"{m.name}-wan.pcap")
                 for m in self.members}
        self.captures.append(Capture(SWITCH_NS, files, self._environment()))

    def audit_ports(self):
        from audit import Port
        return [Port(m.name, m.id, mac_of(m.netns, m.wan_if),
                     os.path.join(LAB_DIR, f"{m.name}-wan.pcap")) for m in self.members]

    def stop_captures(self):
        """True: no frame was lost."""
        captures, self.captures = self.captures, []
        return all([c.stop() for c in captures])

    # ------------------------------------------------------------ its end, and its state on disk

    def down(self):
        self.stop_captures()
        if os.environ.get("GUARDMOUNT_LAB_KEEP"):
            self.say(f"kept, as GUARDMOUNT_LAB_KEEP asks: {LAB_DIR}; ./dev lab down removes it")
        else:
            _remove_everything()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def _save(self):
        def process(p):
            return [p.pid, p.started] if p else None
        state = {
            "advert": self.advert, "unicast": self.unicast, "kept": self.kept,
            "complete": self.complete, "hub_public_key": self.hub_public_key,
            "vips": len(self.vips),
            "members": [{"name": m.name, "id": m.id, "dir": m.dir, "powered": m.powered,
                         "sync_public_key": m.sync_public_key, "faults": m.faults,
                         "daemon": process(m.daemon), "keepalived": process(m.keepalived)}
                        for m in self.members],
            "clients": [{"name": c.name, "number": c.number, "dir": c.dir, "roamed": c.roamed,
                         "public_key": c.public_key, "process": process(c.process)}
                        for c in self.clients],
        }
        with self._saving:
            Path(STATE_FILE + ".new").write_text(json.dumps(state, indent=1))
            os.replace(STATE_FILE + ".new", STATE_FILE)

    @classmethod
    def load(cls, say=_quiet):
        """The lab that stands."""
        try:
            state = json.loads(Path(STATE_FILE).read_text())
        except FileNotFoundError:
            raise LabError("there is no lab: ./dev lab up makes one") from None
        if not state["complete"]:
            raise LabError("a lab is being made, or making it was interrupted; "
                           "./dev lab down removes what is there")

        def revive(kind, entry):
            processes = {k: Process(*entry[k]) if entry.get(k) else None
                         for k in ("daemon", "keepalived", "process") if k in entry}
            return kind(**{**entry, **processes})
        vips = plan.all_vips(state["vips"])
        self = cls([revive(Member, m) for m in state["members"]],
                   [revive(Client, {**c, "vip": vips[(c["number"] - 1) % len(vips)]})
                    for c in state["clients"]],
                   state["advert"], state["unicast"], state["kept"], say, len(vips))
        self.hub_public_key, self.complete = state["hub_public_key"], True
        return self

    def to_json(self):
        """The shape that others rely on: add to it, take nothing away."""
        def pid(process):
            return process.pid if process.alive() else None
        return {
            "members": [{
                "name": m.name, "id": m.id, "netns": m.netns,
                "daemon_pid": pid(m.daemon),
                "keepalived_pid": pid(m.keepalived),
                "wan_if": m.wan_if, "lan_if": m.lan_if, "conf": m.conf, "log": m.log,
                "sync_if": m.sync_if, "hub_if": m.hub_if, "control": m.control,
                "run_dir": m.run_dir, "state_dir": m.state_dir,
                "keepalived_conf": m.keepalived_conf, "keepalived_log": m.keepalived_log,
                "wan_addresses": m.addresses("wan"), "lan_addresses": m.addresses("lan"),
                "sync_address": m.addresses("sync")[0], "powered": m.powered,
                "ports": {lan: m.port(lan) for lan in plan.LANS},
            } for m in self.members],
            "clients": [{
                "name": c.name, "netns": c.netns, "ifname": c.ifname, "wan_if": c.wan_if,
                "wan_address": c.wan_address, "tunnel": list(c.tunnel),
                "wan_addresses": c.addresses(), "endpoint": c.endpoint, "psk": c.with_psk,
                "public_key": c.public_key, "pid": c.process.pid, "log": c.log,
            } for c in self.clients],
            "server": {"netns": SERVER_NS, "addresses": list(plan.SERVER), "lan_if": "lan0"},
            "vips": [{"name": v.name, "outer": v.outer[0], "inner": v.inner[0],
                      "port": plan.HUB_PORT, "outer6": v.outer[1], "inner6": v.inner[1]}
                     for v in self.vips],
            "hub": {"public_key": self.hub_public_key, "tunnel": list(plan.HUB_TUNNEL)},
            "switch": {"netns": SWITCH_NS, "bridges": list(plan.LANS),
                       "gateway": list(plan.GATEWAY)},
            "advert": self.advert, "dir": LAB_DIR,
        }


# ---------------------------------------------------------------- helpers

def _all(pool, jobs):
    for done in [pool.submit(job) for job in jobs]:
        done.result()


def _named(boxes, name, kind):
    for box in boxes:
        if box.name == name:
            return box
    raise LabError(f"no {kind} {name}; there are {', '.join(b.name for b in boxes)}")


def _write_private(path, text):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        f.write(text)


def _tail(path, lines=5):
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _clear_remains_of_a_crash():
    """We hold the lock. A finished `lab up` is somebody's and stays; anything else is a ruin."""
    try:
        state = json.loads(Path(STATE_FILE).read_text())
    except (OSError, ValueError):
        state = {}
    if state.get("kept") and state.get("complete"):
        raise LabError("a lab is up already; ./dev lab down removes it")
    _remove_everything()


def _remove_everything():
    """Every process, namespace, socket and file of the lab, whatever state it is in."""
    ours = processes_with_env(f"{ENV_MARK}={LAB_DIR}")
    for p in ours:
        p.signal(signal.SIGCONT)
        p.signal(signal.SIGKILL)
    for p in ours:
        p.wait(3)
    for ns in list_netns(plan.PREFIX):
        delete_netns(ns)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/var/run/wireguard"):
            if name.startswith(("gmlhub", "gmlc")) and name.endswith(".sock"):
                os.unlink(f"/var/run/wireguard/{name}")
    if os.path.isdir(LAB_DIR) and not os.path.islink(LAB_DIR):
        shutil.rmtree(LAB_DIR)


# ---------------------------------------------------------------- command line

def _command_up(args):
    started = time.monotonic()
    lab = Lab.up(args.members, args.clients, args.advert, args.unicast, kept=True,
                 log_level=args.log_level, say=_say, vips=args.vips)
    _say(f"up after {time.monotonic() - started:.1f} s")
    if args.json:
        print(json.dumps(lab.to_json(), indent=1))
    else:
        _print_summary(lab)
        print(f"""
Try:  ip netns exec {lab.clients[0].netns if lab.clients else SERVER_NS} ping {plan.SERVER[0]}
      ip netns exec {lab.members[0].netns} wg show {lab.members[0].hub_if}
      {BIN_DIR / 'guardmount'} -s {lab.members[0].control} status
      ./dev lab power-off {(lab.owner() or lab.members[0]).name}
End:  ./dev lab down""")


def _print_summary(lab):
    held = {v.name: lab.holders(v) for v in lab.vips}
    for m in lab.members:
        state = "off" if not m.powered else \
            "+".join(name for name, members in held.items() if m in members) or "standby"
        faults = "".join(f" [{' '.join(f)}]" for f in m.faults)
        print(f"{m.name:4} {state:8} netns {m.netns:8} daemon "
              f"{m.daemon.pid if m.daemon.alive() else 'down':>7} keepalived "
              f"{m.keepalived.pid if m.keepalived.alive() else 'down':>7}  log {m.log}{faults}")
    for c in lab.clients:
        print(f"{c.name:4} client   netns {c.netns:8} {c.wan_address} -> {c.endpoint}"
              f"{' psk' if c.with_psk else ''}  tunnel {', '.join(c.tunnel)}")
    print(f"server        netns {SERVER_NS:8} {', '.join(plan.SERVER)}")


def _command_status(args):
    lab = Lab.load()
    if args.json:
        print(json.dumps({**lab.to_json(), "owners": [m.name for m in lab.holders()]}, indent=1))
    else:
        _print_summary(lab)


def _locked(action):
    lock = _Lock()
    lock.take(0, _say)
    try:
        action()
    finally:
        lock.release()


def _fault_commands():
    def power_on(lab, m):
        lab.start_member(m)
    return {
        "power-off": Lab.power_cut, "power-on": power_on, "stop": Lab.stop_member,
        "start": power_on, "kill-daemon": Lab.kill_daemon, "freeze": Lab.freeze,
        "thaw": Lab.thaw, "heal": Lab.heal, "block-vrrp": Lab.block_vrrp,
    }


def main(argv):
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make it")
    up.add_argument("--members", type=int, default=2)
    up.add_argument("--clients", type=int, default=2)
    up.add_argument("--vips", type=int, default=1,
                    help="VIP groups; of several, each member is the owner of some")
    up.add_argument("--advert", type=float, default=0.1, metavar="S",
                    help="VRRP advert interval in seconds, 0.01 to 1 (default 0.1)")
    up.add_argument("--unicast", action="store_true", help="VRRP unicast instead of multicast")
    up.add_argument("--log-level", default="info", choices=["error", "warn", "info", "debug"])
    up.add_argument("--json", action="store_true")
    commands.add_parser("down", help="remove it, whatever is left of it")
    commands.add_parser("status").add_argument("--json", action="store_true")
    faults = _fault_commands()
    for name in faults:
        commands.add_parser(name).add_argument("member")
    for name in ("cut", "isolate"):
        p = commands.add_parser(name)
        p.add_argument("member")
        p.add_argument("lan", choices=plan.LANS)
    args = parser.parse_args(argv)
    stop_on_signals()
    try:
        require_root("the lab")
        if args.command == "up":
            _command_up(args)
        elif args.command == "down":
            _locked(_remove_everything)
        elif args.command == "status":
            _command_status(args)
        else:
            def act():
                lab = Lab.load(_say)
                m = lab.member(args.member)
                if args.command in faults:
                    faults[args.command](lab, m)
                else:
                    lab.cut(m, args.lan, silent=args.command == "isolate")
                lab._save()
            _locked(act)
    except LabError as e:
        print(f"lab: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
