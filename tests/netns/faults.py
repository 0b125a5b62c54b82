"""What a test does to the lab that stands: faults, and clients that move. Part of class Lab."""

import contextlib
import os
import shutil
import signal
import time

import plan
from netns import (LabError, add_netns, ip_batch, list_netns, run_in, set_link, wireguard_socket)
from plan import SWITCH_NS

DAEMON_END_S = 10
KEEPALIVED_END_S = 12                       # it waits for its own children for up to 5 s


class Faults:
    """Each fault returns its time."""

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
