#!/usr/bin/python3
"""./dev demo: a cluster carries a download and a ping across a crash of its owner, live.

Two members, real keepalived, two stock clients. The owner's power is cut under traffic; nothing
else is touched. Then it comes back. A table says what the streams noticed."""

import argparse
import os
import shutil
import sys
import threading
import time

import plan
from audit import Audit
from lab import Lab
from netns import LabError, require_root, stop_on_signals
from plan import SERVER_NS
from premises import ENV_MARK, LAB_DIR, say
from probes import Probe, stop_all
from watch import OwnerWatch

BEFORE_S, AFTER_S, BACK_S = 4.0, 5.0, 3.0
CELL_S = 0.05                 # one character of the live strip
# Measured by hand with wg and keepalived, same faults, same clients: the client's own 10 + 5 s
# timer hides whatever VRRP does.
WITHOUT = {"ping": "15.2 s", "ping, IPv6 + PSK": "15.2 s", "download": "15.0 s"}


class Screen:
    """Events as lines; on a terminal also a strip of the last seconds that is redrawn."""

    def __init__(self):
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
        self.full, self.part, self.none = ("█", "▄", "·") if utf8 else ("#", "+", ".")
        self.started = time.time()
        self.fault = None
        self._lock = threading.Lock()

    def clock(self, when):
        zero = self.fault or self.started
        return f"{when - zero:+8.3f} s" if self.fault else f"{when - zero:8.1f} s"

    def event(self, text, when=None):
        with self._lock:
            if self.live:
                sys.stdout.write("\r\033[K")
            print(f"{self.clock(when or time.time())}  {text}", flush=True)

    def strip(self, arrivals, per_cell, now, cells):
        """One character for each CELL_S: did all, some or none of the packets come?"""
        counts = [0] * cells
        for t in arrivals:
            cell = int((t - (now - cells * CELL_S)) / CELL_S)
            if 0 <= cell < cells:
                counts[cell] += 1
        return "".join(self.full if n >= per_cell * 0.8 else self.part if n else self.none
                       for n in counts)

    def draw(self, text):
        if self.live:
            with self._lock:
                sys.stdout.write("\r\033[K" + text)
                sys.stdout.flush()

    def end_strip(self):
        if self.live:
            with self._lock:
                sys.stdout.write("\r\033[K")
                sys.stdout.flush()


class Demo:
    def __init__(self, lab, screen):
        self.lab, self.screen = lab, screen
        self.streams, self.watch = {}, None

    def run(self):
        lab, screen = self.lab, self.screen
        first, second = lab.clients
        environment = {ENV_MARK: LAB_DIR}

        def probe(name, kind, source, destination, address, **kw):
            self.streams[name] = Probe.start(kind, source, destination, address, LAB_DIR,
                                             name=name, env=environment, **kw)
        probe("ping", "ping", first.netns, SERVER_NS, plan.SERVER[0])
        probe("download", "tcp", SERVER_NS, first.netns, first.tunnel[0], block=8192)
        probe("ping, IPv6 + PSK", "ping", second.netns, SERVER_NS, plan.SERVER[1])
        for p in self.streams.values():
            p.wait_ready()
        self.watch = OwnerWatch(lab, plan.OUTER_VIPS[0], self._moved)
        owner = lab.wait_owner()
        screen.event(f"{owner.name} owns {plan.OUTER_VIPS[0]} and {plan.OUTER_VIPS[1]}; "
                     "a download and 100 pings a second run through it")
        self._show(BEFORE_S)

        fault = lab.power_cut(owner)
        screen.end_strip()
        screen.fault = fault
        screen.event(f"{owner.name} loses its power: links down, every process killed", fault)
        self.watch.note(fault, owner.name, False)
        self._report_return(fault)
        self._show(AFTER_S)
        screen.end_strip()
        screen.event(f"{owner.name} gets its power back")
        # Its old addresses went with the power, whenever the kernel got round to saying so.
        starter = threading.Thread(target=self._bring_back, args=(owner,))
        starter.start()
        while starter.is_alive():
            self._show(0.3)
        starter.join()
        if self.failure:
            raise self.failure
        screen.event(f"{owner.name} is in sync again and stands by")
        self._show(BACK_S)
        screen.end_strip()
        end = time.time()
        self.watch.stop()
        stop_all(self.streams.values())
        return self._table(owner, fault, end)

    failure = None

    def _bring_back(self, member):
        try:
            self.lab.start_member(member)
            self.lab.wait_in_sync()
        except LabError as e:
            self.failure = e

    def _moved(self, when, member, came):
        m = self.lab.member(member)
        if m.powered:
            self.screen.event(f"{member} {'holds' if came else 'gives up'} the floating address",
                              when)

    def _report_return(self, fault):
        """A line for each stream when its first packet after the cut arrives."""
        def follow(name, probe):
            end = time.time() + AFTER_S - 0.5
            while time.time() < end and os.path.exists(probe.path):    # else: interrupted
                last = probe.last_arrival()
                # What was on its way at the cut still arrives; the stream is back after a pause.
                if last and last > fault + 0.03:
                    first = min(t for t, _ in probe.samples()[1] if t > fault + 0.03)
                    self.screen.event(f"{name} flows again", first)
                    return
                time.sleep(0.01)
        for name, probe in self.streams.items():
            threading.Thread(target=follow, args=(name, probe), daemon=True).start()

    def _show(self, seconds):
        cells = max(20, min(80, shutil.get_terminal_size((80, 24)).columns - 24))
        end = time.time() + seconds
        while time.time() < end:
            if self.screen.live:
                now = time.time()
                _, received = self.streams["ping"].samples()
                strip = self.screen.strip([t for t, _ in received[-2000:]],
                                          CELL_S / self.streams["ping"].interval, now, cells)
                held = "+".join(m.name for m in self.lab.holders()) or "nobody"
                self.screen.draw(f"  ping {strip} {held}")
            time.sleep(0.1)

    def _table(self, owner, fault, end):
        audit = Audit(self.lab.audit_ports()).update()
        by_client, by_hub = (
            len(audit.handshakes_between(fault - 1, fault + 2, hub_initiated=h))
            for h in (False, True))
        results = {n: p.result(fault, fault + AFTER_S) for n, p in self.streams.items()}
        print(f"""
{'stream':18} {'longest gap':>12} {'packets lost':>13}   without replicated sessions *""")
        for name, r in results.items():
            gap = f"{r.gap * 1000:.0f} ms" if r.recovered else "for ever"
            lost = "-" if name == "download" else str(r.lost)
            print(f"{name:18} {gap:>12} {lost:>13}   {WITHOUT[name]}")
        print(f"""
handshakes begun by clients from 1 s before the cut to 2 s after: {by_client} (without: 1 each)
handshakes begun by the hub in that time: {by_hub}
owner of the floating addresses, seconds from the cut:""")
        for name, start, stop in self.watch.spans(end):
            print(f"   {name}  {start - fault:+8.3f} .. {stop - fault:+8.3f}"
                  + ("   (power cut)" if name == owner.name and abs(stop - fault) < 1e-6 else ""))
        print(f"audit of every packet on the wire: {audit.summary()}")
        print("* the same clients and faults with wg and keepalived set up by hand: "
              "the client's own\n  timer decides, 10 + 5 s; a TCP upload waits 26 s.")
        for v in audit.violations[:5]:
            print(f"VIOLATION: {v}")
        return all(r.recovered for r in results.values()) and not audit.violations \
            and by_client == 0 and self.lab.stop_captures()


def main(argv):
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--advert", type=float, default=0.1, metavar="S",
                        help="VRRP advert interval in seconds (default 0.1)")
    args = parser.parse_args(argv)
    stop_on_signals()
    try:
        require_root("the demo")
        screen = Screen()
        print("A hub of two members, two stock clients (wireguard-go), a server behind the hub; "
              "every box is\na network namespace of this machine.", flush=True)
        with Lab.up(members=2, clients=2, advert=args.advert, capture=True, say=say) as lab:
            demo = Demo(lab, screen)
            try:
                good = demo.run()
            finally:
                stop_all(demo.streams.values())
                for p in demo.streams.values():
                    p.discard()
    except LabError as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("demo: " + ("every stream was carried across the crash" if good else "NOT as promised"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
