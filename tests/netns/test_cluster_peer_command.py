"""guardmount peer: what is said on one member holds on all, and a client gets in with its file."""

import json
import os
import re
import subprocess
import time

from netns import run_in, wait_until, wg_keypair
from plan import SERVER
from premises import BIN_DIR

MEMBERS = 3
REPLICATED_WITHIN_S = 3
CAUGHT_UP_WITHIN_S = 15      # anti-entropy runs every 10 s
REVOKED_WITHIN_S = 1
NOT_CONFIRMED_S = 2          # how long a revocation waits for a member that says nothing


def command(m, *args, status=0):
    done = subprocess.run([str(BIN_DIR / "guardmount"), "-s", m.control, *map(str, args)],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout if status == 0 else done.stderr


def peers(m):
    listed = json.loads(command(m, "peer", "list", "--all", "--json"))["peers"]
    for p in listed:
        p["allowed_ips"].sort()      # their order says nothing: a database has one of its own
    return {p["public_key"]: p for p in listed}


def named(m, name):
    return next((p for p in peers(m).values() if p["name"] == name), None)


def everywhere(lab, key, what, timeout=REPLICATED_WITHIN_S, members=None):
    for m in members or lab.members:
        wait_until(lambda: what(peers(m).get(key)), timeout,
                   lambda: f"{m.name} has {peers(m).get(key)}")


def served(lab, m, key):
    return key in lab.wg(m, "show", "peers").split()


def use_file(client, path):
    """As wg-quick does with it, and reach the server from the address that it names."""
    text = path.read_text()
    addresses = re.search(r"^Address = (.*)$", text, re.M)[1].split(", ")
    run_in(client.netns, ["wg", "setconf", client.ifname, "/dev/stdin"],
           input=re.sub(r"^(Address|DNS|MTU) = .*\n", "", text, flags=re.M))
    run_in(client.netns, ["ip", "addr", "replace", addresses[0], "dev", client.ifname])
    source = addresses[0].split("/")[0]
    wait_until(lambda: pings_from(client, source), 10, "the client of the file reaches nothing")
    return addresses


def pings_from(client, source):
    return ", 0% packet loss" in run_in(
        client.netns, ["ping", "-n", "-c1", "-W1", "-I", source, SERVER[0]], check=False)


def give_back(lab, client, address):
    run_in(client.netns, ["ip", "addr", "del", address, "dev", client.ifname], check=False)
    run_in(client.netns, ["wg", "setconf", client.ifname, os.path.join(client.dir, "wg.conf")])
    lab.reconnect_client(client)


def test_a_client_gets_in_with_the_file_that_it_was_given(lab, tmp_path):
    a, b = lab.members[:2]
    client = lab.clients[0]                        # it reaches the hub over IPv4, as the file says
    path = tmp_path / "alice.conf"
    command(a, "peer", "add", "alice", "--address", "auto", "--psk", "--conf", path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    alice = named(a, "alice")
    everywhere(lab, alice["public_key"], lambda p: p and p["psk"])
    assert peers(b)[alice["public_key"]] == alice
    try:
        addresses = use_file(client, path)
        assert sorted(addresses) == alice["allowed_ips"] and len(addresses) == 2
    finally:
        command(a, "peer", "remove", "alice")
        give_back(lab, client, alice["allowed_ips"][0])


def test_a_new_key_takes_over_when_it_is_used_and_time_ends_it(lab, tmp_path):
    a, b, c = lab.members
    client = lab.clients[0]
    old_file, new_file = tmp_path / "old.conf", tmp_path / "new.conf"
    command(a, "peer", "add", "rosa", "--address", "auto", "--conf", old_file)
    old = named(a, "rosa")
    everywhere(lab, old["public_key"], lambda p: p and p["state"] == "enabled")
    try:
        source = use_file(client, old_file)[0].split("/")[0]
        command(b, "peer", "rotate", "rosa", "--psk", "--conf", new_file)
        waiting = next(p for p in peers(b).values() if p["replaces"] == old["public_key"])
        everywhere(lab, waiting["public_key"], lambda p: p and p["state"] == "next")
        assert pings_from(client, source)          # the old key goes on
        use_file(client, new_file)
        everywhere(lab, old["public_key"], lambda p: p["state"] == "revoked")
        everywhere(lab, waiting["public_key"], lambda p: p["name"] == "rosa" and p["psk"] and
                   p["state"] == "enabled" and p["allowed_ips"] == old["allowed_ips"])
        for m in lab.members:
            assert not served(lab, m, old["public_key"])
            assert source in lab.wg(m, "show", "allowed-ips")
        assert any("peer.rekeyed" in command(m, "events") for m in lab.members)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        command(c, "peer", "set", "rosa", "--expires", until)
        for m in lab.members:
            wait_until(lambda: not served(lab, m, waiting["public_key"]), REPLICATED_WITHIN_S + 2,
                       f"{m.name} serves a peer whose time is over")
        assert "peer.expired" in command(b, "events")
        assert not pings_from(client, source)
        command(a, "peer", "set", "rosa", "--expires", "30d")
        use_file(client, new_file)                 # by itself it would try again within 15 s
    finally:
        command(a, "peer", "remove", "rosa")
        give_back(lab, client, old["allowed_ips"][0])


def test_a_peer_is_changed_disabled_and_enabled_on_any_member(lab):
    a, b, c = lab.members
    key = wg_keypair()[1]
    command(a, "peer", "add", "bob", "--pubkey", key, "--allowed-ips", "10.55.0.0/24")
    everywhere(lab, key, lambda p: p and p["state"] == "enabled")
    command(b, "peer", "set", "bob", "--name", "berta", "--keepalive", "25")
    everywhere(lab, key, lambda p: p["name"] == "berta" and p["keepalive_s"] == 25)
    command(c, "peer", "disable", "berta")
    for m in lab.members:
        wait_until(lambda: not served(lab, m, key), REPLICATED_WITHIN_S, f"{m.name} serves it")
    # What it has stays its own.
    said = command(a, "peer", "add", "carl", "--pubkey", wg_keypair()[1], "--allowed-ips",
                   "10.55.0.7/32", status=1)
    assert "'berta'" in said
    command(a, "peer", "enable", "berta")
    for m in lab.members:
        wait_until(lambda: served(lab, m, key), REPLICATED_WITHIN_S, f"{m.name} does not serve it")
    command(b, "peer", "remove", "berta")
    everywhere(lab, key, lambda p: p["state"] == "removed")
    # Each member tells what was done on it, and no other.
    assert deeds(a, key) == ["peer.add", "peer.set"]
    assert deeds(b, key) == ["peer.set", "peer.remove"]
    assert deeds(c, key) == ["peer.set"]


def deeds(m, key):
    command(m, "audit", "verify")
    entries = [json.loads(line)["text"] for line in command(m, "audit", "export").splitlines()]
    mine = [text for text in entries if f"peer={key}" in text]
    assert all(f'member={m.id} by="uid {os.getuid()}"' in text for text in mine), mine
    return [re.search(r"did=(\S+)", text).group(1) for text in mine]


def test_a_file_says_what_peers_are_to_be(lab, tmp_path):
    a, b = lab.members[:2]
    wait_until(lambda: peers(a) == peers(b), CAUGHT_UP_WITHIN_S, "members differ")
    path = tmp_path / "peers.json"
    path.write_text(command(a, "export"))
    assert "0 added, 0 changed" in command(b, "apply", "-f", path, "--dry-run")
    said, key = json.loads(path.read_text()), wg_keypair()[1]
    said["groups"] = [{"name": "branch", "route": "10.0.0.0/8"}]
    said["peers"].append({"name": "oslo", "public_key": key, "group": "branch",
                          "allowed_ips": ["10.58.0.0/24"], "owner": "Olga", "disabled": True})
    path.write_text(json.dumps(said))
    assert "2 added, 0 changed" in command(b, "apply", "-f", path)
    everywhere(lab, key, lambda p: p and p["owner"] == "Olga" and p["state"] == "disabled")
    said["peers"].pop()
    path.write_text(json.dumps(said))
    assert "- oslo" in command(a, "apply", "-f", path, "--prune")
    command(a, "group", "remove", "branch")


def test_a_revocation_is_in_force_everywhere_when_the_command_returns(lab):
    a, b, c = lab.members
    client = lab.clients[-1]
    assert lab.ping(client.netns, SERVER[0])
    began = time.monotonic()
    command(b, "peer", "revoke", client.public_key)
    took = time.monotonic() - began
    try:
        assert took < REVOKED_WITHIN_S
        assert not any(served(lab, m, client.public_key) for m in lab.members)
        assert not lab.ping(client.netns, SERVER[0])
        said = command(a, "peer", "add", "again", "--pubkey", client.public_key,
                       "--address", client.tunnel[0], status=1)
        assert "revoked" in said
    finally:
        arguments = ["--reinstate", "--address", client.tunnel[0], "--address", client.tunnel[1]]
        if client.with_psk:
            conf = run_in(client.netns, ["wg", "show", client.ifname, "preshared-keys"]).split()
            psk = os.path.join(client.dir, "psk")
            with open(os.open(psk, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(conf[1] + "\n")
            arguments += ["--psk-file", psk]
        command(c, "peer", "add", client.name, "--pubkey", client.public_key, *arguments)
        lab.reconnect_client(client)
        lab.wait_reachable([client])


def test_a_member_that_was_cut_off_is_named_and_catches_up(lab):
    a, b, c = lab.members
    key = wg_keypair()[1]
    command(a, "peer", "add", "dora", "--pubkey", key, "--allowed-ips", "10.56.0.0/24")
    everywhere(lab, key, lambda p: p and p["state"] == "enabled")
    lab.cut(c, "sync")
    wait_until(lambda: not lab.in_sync(c), 5, f"{c.name} does not notice")
    began = time.monotonic()
    said = command(a, "peer", "revoke", "dora", status=4)
    assert time.monotonic() - began < NOT_CONFIRMED_S + 1
    assert c.name in said and b.name not in said
    assert not served(lab, b, key) and served(lab, c, key)
    other = wg_keypair()[1]
    command(c, "peer", "add", "emil", "--pubkey", other, "--allowed-ips", "10.57.0.0/24")
    # Whoever was told last tells the rest, though the one that did it is down.
    lab.stop_daemon(a)
    lab.heal(c)
    everywhere(lab, key, lambda p: p["state"] == "revoked", CAUGHT_UP_WITHIN_S, [b, c])
    everywhere(lab, other, lambda p: p and p["state"] == "enabled", CAUGHT_UP_WITHIN_S, [b, c])
    assert not served(lab, c, key)
    lab.start_member(a)
    lab.wait_in_sync()
    everywhere(lab, other, lambda p: p and p["state"] == "enabled", CAUGHT_UP_WITHIN_S)
    command(b, "peer", "remove", "emil")


def test_a_damaged_database_is_refilled_and_a_backup_restored(lab, tmp_path):
    a, b, c = lab.members
    wait_until(lambda: peers(a) == peers(b) == peers(c), CAUGHT_UP_WITHIN_S, "members differ")
    before = peers(a)
    command(b, "backup", tmp_path / "b.backup")
    assert os.stat(tmp_path / "b.backup").st_mode & 0o777 == 0o600
    lab.stop_daemon(c)
    with open(os.path.join(c.state_dir, "peers.db"), "r+b") as f:
        f.seek(4096)
        f.write(os.urandom(8192))
    lab.start_member(c)
    lab.wait_in_sync()
    wait_until(lambda: peers(c) == before, CAUGHT_UP_WITHIN_S,
               lambda: f"{c.name} was not refilled: {peers(c)} is not {before}")
    assert any(name.startswith("peers.db.damaged-") for name in os.listdir(c.state_dir))
    lab.stop_daemon(b)
    restored = subprocess.run([str(BIN_DIR / "guardmount"), "-c", b.conf, "restore",
                               str(tmp_path / "b.backup")], capture_output=True, text=True)
    assert restored.returncode == 0, restored.stderr
    lab.start_member(b)
    lab.wait_in_sync()
    assert peers(b) == before


def test_a_group_that_is_isolated_on_one_member_is_so_on_all(lab):
    a, b = lab.members[:2]
    client = lab.clients[0]
    key = client.public_key
    command(a, "group", "add", "guests")
    command(a, "peer", "set", key, "--group", "guests")
    everywhere(lab, key, lambda p: p["group"] == "guests")
    command(b, "group", "set", "guests", "--policy", "isolate", "--network", "192.0.2.0/24")
    try:
        for m in lab.members:
            wait_until(lambda: client.tunnel[0] in run_in(
                m.netns, ["nft", "list", "set", "inet", "guardmount_1", "peers4_guests"],
                check=False), REPLICATED_WITHIN_S, f"{m.name} has no fence")
        assert not lab.ping(client.netns, SERVER[0])
        command(a, "group", "set", "guests", "--network", SERVER[0])
        wait_until(lambda: lab.ping(client.netns, SERVER[0]), REPLICATED_WITHIN_S, "not listed")
    finally:
        command(a, "peer", "set", key, "--group", "none")
        command(a, "group", "remove", "guests")
    for m in lab.members:
        wait_until(lambda: "guardmount" not in run_in(m.netns, ["nft", "list", "tables"]),
                   REPLICATED_WITHIN_S, f"{m.name} still has a fence")
