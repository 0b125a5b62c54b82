"""The lab: a whole Guardmount cluster on one machine, every box in a network namespace.

Real guardmountd, real keepalived, stock clients (wireguard-go and wg); plan.py draws the network,
faults.py breaks it, lab_command.py is `./dev lab`. The tests, the demo and the bench use class Lab
of this file. There is one lab at a time.
"""

import base64
import contextlib
import json
import os
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import plan
from capture import Capture
from faults import Faults
from netns import (LabError, Process, ROUTER_SYSCTLS, add_netns, addresses, ip_batch, link_exists,
                   mac_of, require_programs, require_root, run, run_in, socket_answers, spawn,
                   wait_until, wg_keypair, wireguard_socket)
from plan import Client, Member, SERVER_NS, SWITCH_NS
from premises import (BIN_DIR, ENV_MARK, LAB_DIR, Lock, STATE_FILE, clear_remains_of_a_crash,
                      make_lab_dir, quiet, remove_everything)

DAEMON_START_S, SYNC_S, OWNER_S, REACH_S = 15, 20, 20, 15


class Lab(Faults):
    """Use Lab.up(...) as a context manager, or Lab.load() to work on the one that stands."""

    def __init__(self, members, clients, advert, unicast, kept=False, say=quiet, vips=1):
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
           log_level="info", capture=False, say=quiet, vips=1):
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
        lock = Lock()
        lock.take(patience_s, say)
        try:
            clear_remains_of_a_crash()
            make_lab_dir()
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
                remove_everything()
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
        for n, lan in enumerate(plan.LANS):
            # An address of its own: it would have one of a port's, which takes it along elsewhere.
            lines += [f"link add {lan} address 02:60:00:00:00:{n + 1:02x} type bridge stp_state 0 "
                      "forward_delay 0 mcast_snooping 0", f"link set {lan} up"]
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
            remove_everything()
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
    def load(cls, say=quiet):
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
