"""The traffic that a fault is judged by: every kind at once, each on a client of its own.

    with Traffic(lab) as traffic:
        fault = lab.power_cut(lab.owner())
        time.sleep(3)
        results = traffic.finish(fault)        # {kind: probes.Result}
"""

import time

import plan
from netns import LabError, run_in
from premises import ENV_MARK, LAB_DIR
from probes import Probe, Result, stop_all
from plan import SERVER_NS

# Kinds in the order in which clients get them; "idle" and "server-only" need a client that
# nothing else uses.
KINDS = ("ping", "server-only", "tcp-up", "tcp-down", "idle", "udp-10", "roamed", "ping6")
ALONE = ("idle", "server-only", "roamed")
SESSION_AGE_MAX_S = 95      # of 120 s: no ordinary rekey comes near the window of a fault
_IDLE_FIRST_ANSWER_S = 20


class Traffic:
    """Starts the probes of @kinds, one client each; with fewer clients than kinds the kinds that
    need a client of their own come first and the rest share. @shift moves kinds to other clients,
    so that over several runs each is seen over IPv4 and IPv6, with and without PSK. @clients: only
    these."""

    def __init__(self, lab, kinds=KINDS, shift=0, clients=None):
        self.lab, self.kinds = lab, kinds
        self.clients = self._assign(lab.clients if clients is None else clients, shift)
        self.probes = {}
        self.idle_client = self.clients.get("idle")

    def _assign(self, clients, shift):
        clients = clients[shift % len(clients):] + clients[:shift % len(clients)]
        alone = [k for k in self.kinds if k in ALONE]
        shared = [k for k in self.kinds if k not in ALONE]
        if len(clients) < len(alone) + bool(shared):
            raise LabError(f"{len(self.kinds)} kinds of traffic need {len(alone) + 1} clients")
        assigned = dict(zip(alone, clients))
        rest = clients[len(alone):]
        assigned.update({k: rest[n % len(rest)] for n, k in enumerate(shared)})
        return {k: assigned[k] for k in self.kinds}

    def start(self, settle_s=1.0):
        """Young sessions everywhere, the roaming client moved, all probes running."""
        refresh_old_sessions(self.lab, self.clients.values())
        if "roamed" in self.clients:
            self.lab.roam_client(self.clients["roamed"])
        for kind, client in self.clients.items():
            probe = self._start(kind, client)
            if probe:
                self.probes[kind] = probe
        for probe in self.probes.values():
            probe.wait_ready()
        time.sleep(settle_s)
        return self

    def _start(self, kind, c):
        server, server6 = plan.SERVER
        what = {
            "ping": ("ping", c.netns, SERVER_NS, server, None),
            "ping6": ("ping", c.netns, SERVER_NS, server6, None),
            "roamed": ("ping", c.netns, SERVER_NS, server, None),
            "tcp-up": ("tcp", c.netns, SERVER_NS, server, None),
            "tcp-down": ("tcp", SERVER_NS, c.netns, c.tunnel[0], None),
            "udp-10": ("udp", c.netns, SERVER_NS, server, 0.1),
            "server-only": ("udp", SERVER_NS, c.netns, c.tunnel[0], None),
            "idle": None,
        }[kind]
        return what and Probe.start(*what[:4], directory=LAB_DIR, interval=what[4], name=kind,
                                    env={ENV_MARK: LAB_DIR})

    def last_arrivals(self):
        return {k: p.last_arrival() for k, p in self.probes.items()}

    def finish(self, fault):
        """Stop everything; the idle client speaks up only now."""
        results = {}
        if self.idle_client:
            results["idle"] = self._first_answer(self.idle_client)
        stop_all(self.probes.values())
        results.update({k: p.result(fault) for k, p in self.probes.items()})
        return {k: results[k] for k in self.kinds}

    def _first_answer(self, c):
        """How long a client that was silent over the fault waits for its first answer."""
        probe = Probe.start("ping", c.netns, SERVER_NS, plan.SERVER[0], LAB_DIR, name="idle",
                            env={ENV_MARK: LAB_DIR}).wait_ready()
        end = time.monotonic() + _IDLE_FIRST_ANSWER_S
        while not probe.last_arrival() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.2)
        sent, received = probe.stop().samples()
        probe.discard()
        first = received[0][0] - sent[0][0] if received else float(_IDLE_FIRST_ANSWER_S)
        answered = {n for _, n in received}
        return Result("idle", first, first, sum(1 for t, n in sent if n not in answered
                                                and t <= sent[-1][0] - 0.2),
                      0, bool(received), first if received else None, len(received), 0.0)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        stop_all(self.probes.values())
        for p in self.probes.values():
            p.discard()


def session_age(client):
    """Seconds since the client's last handshake; None without a session."""
    out = run_in(client.netns, ["wg", "show", client.ifname, "latest-handshakes"]).split()
    return time.time() - int(out[1]) if len(out) == 2 and out[1] != "0" else None


def refresh_old_sessions(lab, clients):
    """A client whose session is old begins anew, as if it had just come."""
    stale = []
    for c in clients:
        age = session_age(c)
        if age is None or age > SESSION_AGE_MAX_S:
            lab.reconnect_client(c)
            stale.append(c)
    if stale:
        lab.wait_reachable(stale)
        time.sleep(1.2)       # its handshake is no part of the fault's window
