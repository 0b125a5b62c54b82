"""Peers are the cluster's: what is set on one member holds on all, and outlives it."""

import os
import time
from pathlib import Path

from netns import run, run_in, wait_until, wg_keypair
from plan import SERVER_NS, SERVER
from test_cluster_crash import run_fault

REPLICATED_WITHIN_S = 3


def peers(lab, m):
    return set(lab.wg(m, "show", "peers").split())


def test_a_peer_added_on_one_member_is_known_to_all(lab):
    owner = lab.owner()
    for m in [owner, lab.others(owner)[0]]:
        key = wg_keypair()[1]
        lab.wg(m, "set", "peer", key, "allowed-ips", "10.77.0.200/32", "persistent-keepalive", "25")
        for other in lab.others(m):
            wait_until(lambda: key in peers(lab, other), REPLICATED_WITHIN_S,
                       f"{other.name} does not know a peer that was added on {m.name}")
            assert "10.77.0.200/32" in lab.wg(other, "show", "allowed-ips")
        lab.wg(m, "set", "peer", key, "remove")
        for other in lab.others(m):
            wait_until(lambda: key not in peers(lab, other), REPLICATED_WITHIN_S,
                       f"{other.name} still has a peer that was removed on {m.name}")


def test_a_peer_added_on_a_is_served_by_b_when_a_is_gone(lab):
    client, owner = lab.clients[-1], lab.owner()
    old_private = run_in(client.netns, ["wg", "show", client.ifname, "private-key"]).strip()
    private, public = wg_keypair()
    psk = run_in(client.netns, ["wg", "show", client.ifname, "preshared-keys"]).split()[1]
    lab.wg(owner, "set", "peer", client.public_key, "remove")
    arguments = ["peer", public, "allowed-ips", ",".join(
        f"{a}/{128 if ':' in a else 32}" for a in client.tunnel)]
    if psk != "(none)":
        arguments += ["preshared-key", _file(client, "psk", psk)]
    lab.wg(owner, "set", *arguments)
    try:
        lab.power_cut(owner)
        survivor = lab.wait_owner(among=lab.others(owner))
        run_in(client.netns, ["wg", "set", client.ifname, "private-key",
                              _file(client, "key", private)])
        wait_until(lambda: lab.ping(client.netns, SERVER[0]), 10, "the new peer is not served")
        assert lab.ping(SERVER_NS, client.tunnel[1])
        assert public in peers(lab, survivor)
    finally:
        survivor = lab.owner()
        if survivor:
            lab.wg(survivor, "set", "peer", public, "remove")
            arguments[1] = client.public_key
            lab.wg(survivor, "set", *arguments)
        run_in(client.netns, ["wg", "set", client.ifname, "private-key",
                              _file(client, "key", old_private)])
        lab.reconnect_client(client)


def _file(client, name, text):
    path = os.path.join(client.dir, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(text + "\n")
    return path


def test_peers_survive_a_restart_of_the_whole_cluster(lab):
    before = {m.name: peers(lab, m) for m in lab.members}
    assert before["m1"] == before["m2"] != set()
    for m in lab.members:
        lab.stop_member(m)
    for m in lab.members:
        lab.start_member(m)
    lab.wait_in_sync()
    assert {m.name: peers(lab, m) for m in lab.members} == before
    lab.wait_owner()
    for c in lab.clients:
        lab.reconnect_client(c)
    lab.wait_reachable()


def test_changes_made_while_a_member_was_away_reach_it(lab):
    owner = lab.owner()
    away = lab.others(owner)[0]
    lab.stop_member(away)
    key = wg_keypair()[1]
    gone = wg_keypair()[1]
    lab.wg(owner, "set", "peer", key, "allowed-ips", "10.77.0.201/32")
    lab.start_member(away)
    wait_until(lambda: key in peers(lab, away), 15, "the member that was away lacks a new peer")
    lab.wg(away, "set", "peer", gone, "allowed-ips", "10.77.0.202/32")
    wait_until(lambda: gone in peers(lab, owner), REPLICATED_WITHIN_S, "not replicated back")
    lab.stop_member(away)
    lab.wg(owner, "set", "peer", key, "remove", "peer", gone, "remove")
    lab.start_member(away)
    wait_until(lambda: not peers(lab, away) & {key, gone}, 15, "a removed peer came back")
    time.sleep(0.5)
    assert not peers(lab, owner) & {key, gone}, "a removed peer was resurrected"


def test_the_rendered_keepalived_configuration_is_accepted(lab):
    for m in lab.members:
        run_in(m.netns, ["keepalived", "-t", "-f", m.keepalived_conf])


def test_a_configuration_that_others_may_read_is_refused(lab):
    from premises import BIN_DIR
    m = lab.members[0]
    readable = os.path.join(m.dir, "readable.conf")
    with open(m.conf) as source, open(readable, "w") as f:
        f.write(source.read())
    os.chmod(readable, 0o644)
    out = run_in(m.netns, [BIN_DIR / "guardmountd", "-c", readable, "-f"], check=False)
    assert "chmod 600" in out and readable in out, out
    assert "exit" not in run([BIN_DIR / "guardmount", "check-config", m.conf])


def test_daemon_and_sentinel_hold_the_privileges_they_need_and_no_more(lab):
    def status(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def capabilities(names):
        return sum(1 << n for n in names)
    bind_service, net_admin, net_raw, ipc_lock = 10, 12, 13, 14
    daemon, *others = lab.members[0].daemon.tree()
    sentinels = [p for p in others if status(p.pid)["Name"] == "gm-sentinel"]
    assert len(sentinels) == 1
    for pid, wanted in ((daemon.pid, (bind_service, net_admin, net_raw)),
                        (sentinels[0].pid, (net_admin,))):
        s = status(pid)
        held = int(s["CapPrm"], 16)
        assert int(s["CapEff"], 16) == held and int(s["CapBnd"], 16) | held == held, s
        # CAP_IPC_LOCK stays only where the limit of locked memory cannot be lifted.
        assert held | capabilities([ipc_lock]) == capabilities([*wanted, ipc_lock]), s
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2", s
        with open(f"/proc/{pid}/limits", encoding="ascii") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
    assert int(status(daemon.pid)["VmLck"].split()[0]) > 0, "keys are in locked memory"


def test_a_member_that_lost_its_peers_is_given_their_sessions_too(lab):
    """Sessions are sent right behind the peers, which it still has to bring to the disk."""
    owner = lab.owner()
    other = lab.others(owner)[0]
    lab.stop_member(other)
    for path in Path(other.state_dir).glob("peers.db*"):
        path.unlink()
    lab.start_member(other)
    lab.wait_in_sync()
    wait_until(lambda: peers(lab, other) == peers(lab, owner), 10, "it was not given the peers")
    time.sleep(1.0)
    run_fault(lab, lab.power_cut)
