"""What an operator sees of a member alone in a namespace: the test plays keepalived, and a second
guardmountd is the client."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from member import LoneMember
from netns import (add_netns, delete_netns, end_process, ip_batch, run, run_in, socket_answers,
                   spawn, wait_until, wg_keypair, wireguard_socket)
from premises import BIN_DIR

NS, HUB, CLIENT, WAN = "gmp-see", "gmpsee0", "gmpseec", "gmpseew"
FAR = "gmp-see-far"
VIP = "10.60.1.100"
PATIENCE_S = 10


class House(LoneMember):
    def __init__(self, home):
        super().__init__(home, NS, HUB, f"{VIP}/24", WAN)
        self.private, self.public = wg_keypair()

    def ask_in_namespace(self, *arguments, status):
        done = subprocess.run(["ip", "netns", "exec", NS, str(BIN_DIR / "guardmount"), *arguments],
                              capture_output=True, text=True, timeout=20)
        assert status in (None, done.returncode), (arguments, done)
        return done.stdout

    def why(self, peer, status):
        return json.loads(self.ask("why", "--json", peer, status=status))

    def events(self):
        return [json.loads(line) for line in self.ask("events", "--json").splitlines()]

    def wait_event(self, **fields):
        def found():
            return next((e for e in self.events() if fields.items() <= e.items()), None)
        return wait_until(found, PATIENCE_S, f"no event {fields}: {self.ask('events')}")

    def configure_client(self, psk=None):
        text = f"[Interface]\nPrivateKey = {self.private}\n[Peer]\nPublicKey = {self.hub['SyncPublicKey']}\n"
        text += f"AllowedIPs = 10.77.0.0/24\nEndpoint = {VIP}:51820\nPersistentKeepalive = 1\n"
        text += f"PresharedKey = {psk}\n" if psk else ""
        run_in(NS, ["wg", "setconf", CLIENT, "/dev/stdin"], input=text)

    def add_peer(self, *more):
        run_in(NS, ["wg", "set", HUB, "peer", self.public, *more, "allowed-ips", "10.77.0.2/32"])


@pytest.fixture
def house():
    h = House(Path(tempfile.mkdtemp(prefix="gm-see-")))
    add_netns(NS)
    try:
        ip_batch(NS, ["link set lo up", f"link add {WAN} type veth peer name {WAN}p",
                      f"link set {WAN} up", f"link set {WAN}p up"])
        h.start("-c", str(h.conf))
        h.start(CLIENT)
        for ifname in (HUB, CLIENT):
            wait_until(lambda: socket_answers(wireguard_socket(ifname)), PATIENCE_S,
                       f"no {ifname}")
        wait_until((h.home / "run/control.sock").exists, PATIENCE_S, "no control socket")
        yield h
    finally:
        h.stop()
        delete_netns(NS)
        shutil.rmtree(h.home)


def test_a_peer_from_stranger_to_up_and_back(house):
    key = house.public
    assert house.events() == []
    assert house.why(key, 4)["verdict"] == "unknown-peer"
    house.keepalived("MASTER")
    house.wait_event(event="vip.owned", vip="main", epoch=1)

    # Nobody knows it yet: it is refused, and who it is can be seen.
    house.configure_client()
    ip_batch(NS, [f"link set {CLIENT} up"])
    refused = house.wait_event(event="handshake.refused", reason="unknown-peer", peer=key)
    assert refused["vip"] == "main" and refused["endpoint"].startswith("10.60.1.100:")
    why = house.why(key, 4)
    assert why["verdict"] == "unknown-peer" and why["facts"]["refused"]["count"] >= 1

    # Known, but with another preshared key: answered, never confirmed.
    house.add_peer("preshared-key", psk_file(house))
    house.wait_event(event="handshake.answered", peer=key)
    assert house.why(key, 4)["verdict"] == "unconfirmed"

    house.configure_client((house.home / "psk").read_text())
    done = house.wait_event(event="handshake.done", peer=key, role="responder")
    assert done["serial"] > refused["serial"] and done["time"] > refused["time"]
    up = house.why(key[:8], 0)
    assert up["up"] and up["facts"]["session"]["owned"] and up["facts"]["vip_owned"], up
    row = json.loads(house.ask("status", "--peers", "--json"))["peers"][0]
    assert row["public_key"] == key and row["allowed_ips"] == ["10.77.0.2/32"]
    assert row["rx_bytes"] > 0 and row["sessions"][0]["slot"] == "current"
    text = house.ask("metrics")
    assert f'wireguard_peer_receive_bytes_total{{public_key="{key}"' in text
    assert re.search(r'guardmount_keepalived_lines_total\{hub="1",kind="understood"\} [1-9]', text)
    assert 'guardmount_sync_bytes_total{hub="1",dir="out"} 0' in text

    # A wrong inner source is said while the peer is up.
    ip_batch(NS, [f"addr add 10.99.0.1/32 dev {CLIENT}"])
    run_in(NS, ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", CLIENT, "10.77.0.77"],
           check=False)
    house.wait_event(event="data.refused", reason="source-not-allowed", peer=key)
    assert [f["code"] for f in house.why(key, 0)["findings"]] == ["up", "source-not-allowed"]

    house.keepalived("BACKUP")
    house.wait_event(event="vip.released", vip="main", reason="fifo-backup")
    assert house.why(key, 4)["verdict"] == "no-owner"
    assert "is served by" not in house.ask("why", key, status=4)


def findings(house, keepalived_conf, status=None, conf=None):
    done = json.loads(house.ask_in_namespace("doctor", "--json", "-c", str(conf or house.conf), "--keepalived",
                                             str(keepalived_conf), status=status))
    return {(f["check"], f["severity"]): f for f in done["findings"]
            if f["severity"] in ("warn", "fail")
            # Of the machine that runs the test, not of the namespace.
            and not (f["check"] == "clock" or "does not run" in f["text"])}


def test_doctor_finds_what_is_wrong_and_no_more(house):
    conf = house.home / "keepalived.conf"
    included = house.home / "conf.d"
    included.mkdir()
    conf.write_text("include conf.d/*.conf\n")
    ip_batch(NS, [f"addr add {VIP}/24 dev {CLIENT}"])  # not by keepalived, and not where it belongs
    found = findings(house, conf, 4)
    assert set(found) - {("rp-filter", "warn")} == {("forwarding", "fail"), ("keepalived", "fail"),
                                                    ("vips", "fail")}, found
    assert f"on {CLIENT} instead of {WAN}" in found["vips", "fail"]["text"]
    assert "ha render" in found["keepalived", "fail"]["remedy"]

    ip_batch(NS, [f"addr del {VIP}/24 dev {CLIENT}"])
    run_in(NS, ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                f"net.ipv4.conf.{WAN}.rp_filter=0"])
    house.ask("ha", "render", "-c", str(house.conf), "-o", str(included / "gm.conf"))
    assert not findings(house, conf)
    (included / "gm.conf").write_text((included / "gm.conf").read_text().replace("51", "52"))
    assert set(findings(house, conf, 4)) == {("keepalived", "warn")}


def test_doctor_looks_around_the_machine(house):
    """A neighbour behind a short MTU, which uses the VIP's address itself, and a firewall."""
    conf = house.home / "wide.conf"
    conf.write_text(house.conf.read_text() + f"[Lan outer]\nInterface = {WAN}\nProbe = 10.60.1.254\n")
    conf.chmod(0o600)
    add_netns(FAR)
    try:
        run_in(NS, ["ip", "link", "set", f"{WAN}p", "netns", FAR])
        ip_batch(NS, [f"addr add 10.60.1.1/24 dev {WAN}"])
        ip_batch(FAR, [f"link set {WAN}p mtu 1400 up", f"addr add 10.60.1.254/24 dev {WAN}p",
                       f"addr add {VIP}/24 dev {WAN}p"])
        run_in(NS, ["nft", "-f", "/dev/stdin"], input="""table inet filter {
            chain input { type filter hook input priority 0; policy drop; ip protocol icmp accept\n }\n}\n""")
        found = findings(house, house.home / "none", 4, conf)
        about = {k: f["text"] for k, f in found.items()}
        assert f"{VIP} of VIP main answers on {WAN}" in about["vips", "fail"], about
        assert "names UDP port 51820 of VIP main" in about["firewall", "warn"], about
        fits = int(re.search(r"those of (\d+) do", about["path-mtu", "warn"]).group(1))
        assert 1392 <= fits <= 1404, about  # a veth lets four bytes more pass, for a VLAN

        run_in(NS, ["nft", "add", "rule", "inet", "filter", "input", "udp", "dport", "51820", "accept"])
        ip_batch(FAR, [f"link set {WAN}p mtu 1500", f"addr del {VIP}/24 dev {WAN}p"])
        found = findings(house, house.home / "none", 4, conf)
        assert not {c for c, _ in found} & {"vips", "firewall", "path-mtu"}, found
    finally:
        delete_netns(FAR)


def test_metrics_are_served_when_the_configuration_says_so(house):
    def get(path, *headers):
        return run_in(NS, ["curl", "-s", "-i", *sum((["-H", h] for h in headers), []),
                           f"http://127.0.0.1:9586{path}"], check=False)
    assert get("/metrics") == ""  # off
    end_process(house.processes.pop(0))
    house.conf.write_text(house.conf.read_text() + "[Metrics]\nEnabled = on\nPeerSeries = 1\n")
    house.start("-c", str(house.conf))
    wait_until(lambda: get("/metrics"), PATIENCE_S, (house.home / "log").read_text())
    house.add_peer()
    run_in(NS, ["wg", "set", HUB, "peer", wg_keypair()[1], "allowed-ips", "10.77.0.3/32"])

    def series():
        text = get("/metrics", "Accept: application/openmetrics-text")
        return len(re.findall(r"^wireguard_peer_receive_bytes_total{", text, re.M)), text
    wait_until(lambda: series()[0] == 1, PATIENCE_S, "no series of the first peer")
    text = series()[1]
    assert 'guardmount_peers{hub="1",state="configured"} 2' in text, text  # one has no series
    assert "application/openmetrics-text" in text and text.endswith("# EOF\n")
    assert "guardmount_build_info{" in get("/metrics") and " 404 " in get("/")
    if shutil.which("promtool"):
        body = get("/metrics").split("\n\n", 1)[1]
        subprocess.run(["promtool", "check", "metrics"], input=body, text=True, check=True)


def psk_file(house):
    path = house.home / "psk"
    path.write_text(run(["wg", "genpsk"]))
    return str(path)


def test_a_follower_sees_events_as_they_come_and_outlives_none(house):
    seen = house.home / "follow"
    follower = spawn([BIN_DIR / "guardmount", "-s", f"{house.home}/run/control.sock", "events",
                      "-f"], NS, seen)
    try:
        time.sleep(0.3)
        house.keepalived("MASTER")
        begun = time.monotonic()
        wait_until(lambda: "vip.owned" in seen.read_text(), PATIENCE_S,
                   "the follower sees nothing")
        assert time.monotonic() - begun < 1
        end_process(house.processes[0])
        wait_until(lambda: not follower.alive(), PATIENCE_S, "it follows nobody")
        assert follower.exit_status() == 3
    finally:
        end_process(follower)
