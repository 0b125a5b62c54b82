"""`guardmount drill` on the lab's cluster: what it reports is what happened, all is put back, and its
page shows the same in a real browser."""

import json
import os
import subprocess
import threading
import time

import pytest

import plan
from chromium import Page
from premises import BIN_DIR, LAB_DIR

CLIENTS = 4
DRILL_S = 100
GAP_MS = 2000           # loose: the figures are printed
NUMBERS = ("detection_ms", "owner_ms", "first_session_ms", "first_packet_ms", "worst_gap_ms",
           "worst_lost", "sessions_moved", "handshakes", "refused")


class Supervisor(threading.Thread):
    """What a service manager does: a daemon that has ended is started again."""

    def __init__(self, lab, member):
        super().__init__(daemon=True)
        self.lab, self.member, self.over = lab, member, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            if not self.member.daemon.alive():
                self.lab.start_member(self.member)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def drill(lab, m, *words, code=0, vip=plan.VIP):
    """The JSON of a drill on a member, and the path of its page."""
    page = os.path.join(LAB_DIR, "drill.html")
    done = subprocess.run(
        ["ip", "netns", "exec", m.netns, BIN_DIR / "guardmount", "-s", m.control, "--json", "drill",
         "--vip", vip.name, "--settle", "1", "--report", page, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DRILL_S, check=False)
    print(" ".join(words), "->", done.returncode, done.stderr.strip())
    assert done.returncode == code, done.stderr + done.stdout
    return (json.loads(done.stdout) if done.stdout.strip() else {}), page, done.stderr


def judge(lab, said, owner, asked=CLIENTS, gap_ms=GAP_MS, handshakes=False):
    """What must be in every report of a drill that passed."""
    for step in said["steps"]:
        print({k: step.get(k) for k in ("action", "to", *NUMBERS)})
        assert step["pass"] and step["arrived"], step
        assert step["peers_asked"] == asked and step["silent"] == 0, step
        assert step["sessions_moved"] + handshakes * step["handshakes"] >= asked, step
        assert step["action"] == "returned" or step["owner_ms"] >= step["detection_ms"], step
        assert step["worst_gap_ms"] <= gap_ms, step
    assert said["pass"] and said["restored"]
    assert lab.wait_owner() is owner, "the VIP is not where it was"
    for peer in said["peers"]:
        for step in peer["steps"]:
            assert step["how"] == "hot" or handshakes, peer
            assert step["answered"] > 50, peer
            # Lost is what lies between the two questions that were answered.
            assert step["lost"] >= step["gap_ms"] // said["asked_every_ms"] - 1, peer


def shown(page):
    """The tables of the page, as numbers by their names in the JSON; "-" is None."""
    rows = page.evaluate("""[...document.querySelectorAll('#steps tbody tr')].map(r =>
        Object.fromEntries([...r.querySelectorAll('[data-key]')].map(c =>
            [c.dataset.key, c.textContent])))""")
    return [{k: None if v == "-" else int(v) for k, v in row.items()} for row in rows]


def check_page(said, path):
    with Page(path) as page:
        assert page.complaints == [], "the console complains"
        assert page.evaluate("document.title") == "Guardmount drill"
        assert page.evaluate("document.querySelector('h1 span').textContent") == \
            ("passed" if said["pass"] else "failed")
        box = page.evaluate("""(({width, height}) => ({width, height}))(
            document.querySelector('svg').getBoundingClientRect())""")
        assert box["width"] > 300 and box["height"] > 50, box
        bars = page.evaluate("""[...document.querySelectorAll('svg .bar')].map(b =>
            b.getBoundingClientRect().width)""")
        assert len(bars) == len(said["steps"]) and all(b > 0 for b in bars), bars
        assert shown(page) == [{k: step.get(k) for k in NUMBERS} for step in said["steps"]]
        cells = page.evaluate("""[...document.querySelectorAll('#peers tbody tr')].map(r =>
            [...r.querySelectorAll('td')].slice(1).map(c =>
                [...c.querySelectorAll('[data-key]')].map(b => [b.dataset.key, +b.textContent])))""")
        assert cells == [[[["gap_ms", s["gap_ms"]], ["lost", s["lost"]]] for s in p["steps"]]
                         for p in said["peers"]]
        page.evaluate("console.error('planted')")
        page.evaluate("1")
        assert len(page.complaints) == 1, "what the console says would not be seen"


def test_a_drain_is_drilled_and_its_page_shows_the_same_in_a_browser(lab):
    owner = lab.owner()
    said, path, _ = drill(lab, owner, "--method", "drain")
    judge(lab, said, owner)
    assert [s["action"] for s in said["steps"]] == ["drain", "promote"]
    assert all(s["handshakes"] == 0 and s["worst_gap_ms"] <= 200 for s in said["steps"]), said
    check_page(said, path)


def test_a_killed_daemon_is_drilled_from_a_sibling(lab):
    owner = lab.owner()
    sibling = lab.others(owner)[0]
    killed = owner.daemon.pid
    _, _, error = drill(lab, owner, "--method", "kill", code=1)
    assert f"run the drill on a sibling in sync ({sibling.name})" in error
    with Supervisor(lab, owner):
        began = time.time()
        said, path, _ = drill(lab, sibling, "--method", "kill")
        print(f"{time.time() - began:.1f} s")
    assert owner.daemon.pid != killed
    judge(lab, said, owner)
    away = said["steps"][0]
    assert (away["action"], away["from"], away["to"]) == ("kill", owner.name, sibling.name)
    # Nobody could answer before the address had moved, and somebody did soon after.
    assert away["worst_gap_ms"] + 30 >= away["owner_ms"] > 0
    assert away["worst_lost"] >= max(away["owner_ms"] // said["asked_every_ms"] - 3, 1)
    assert 0 < away["first_packet_ms"] < away["owner_ms"] + 500
    check_page(said, path)


@pytest.mark.long
@pytest.mark.parametrize("method", ["stop", "freeze", "isolate"])
def test_the_other_methods_are_drilled(lab, method):
    """Isolated and with the sync link up, both have the VIP until the owner sees its LANs dead."""
    owner = lab.owner()
    isolated = method == "isolate"
    at = owner if isolated else lab.others(owner)[0]
    limits = ("--max-gap", "2000", "--settle", "4") if isolated else ()
    with Supervisor(lab, owner):
        said, _, _ = drill(lab, at, "--method", method, *limits)
    judge(lab, said, owner, gap_ms=2000 if isolated else GAP_MS, handshakes=isolated)
    assert said["steps"][0]["action"] == method


@pytest.mark.long
def test_a_member_that_allows_no_faults_refuses_them(lab):
    owner = lab.owner()
    sibling = lab.others(owner)[0]
    alive = owner.daemon.pid
    with open(owner.conf, encoding="utf-8") as f:
        text = f.read()
    try:
        with open(owner.conf, "w", encoding="utf-8") as f:
            f.write(text.replace("Faults = on", "Faults = off"))
        owner.daemon.signal(1)
        time.sleep(0.5)
        said, _, _ = drill(lab, sibling, "--method", "kill", code=4)
        assert "refuses: Faults in [Drill]" in said["steps"][0]["reason"]
        assert owner.daemon.pid == alive and owner.daemon.alive() and said["restored"]
    finally:
        with open(owner.conf, "w", encoding="utf-8") as f:
            f.write(text)
        owner.daemon.signal(1)
