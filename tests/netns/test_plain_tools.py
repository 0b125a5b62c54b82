"""guardmountd IFNAME as wg, wg-quick and scripts see it: life cycle, sockets, UAPI."""

import os
import signal
import socket
import stat
import threading
import time

import pytest

from netns import (in_netns, ip_batch, link_exists, run, run_in, socket_answers, spawn, start_time,
                   wait_until, wg_keypair, wireguard_socket)
from plain import GUARDMOUNTD, PlainNet, WIREGUARD_GO, exit_status_in, uapi

PORT = 51820
GONE_WITHIN_S = 2.0


@pytest.fixture
def net():
    with PlainNet() as n:
        yield n


@pytest.fixture
def hub(net):
    return net.left.start(GUARDMOUNTD)


def pair(net):
    hub, stock = net.left.start(GUARDMOUNTD), net.right.start(WIREGUARD_GO)
    hub.configure(PORT, [(stock, None, None)])
    stock.configure(PORT, [(hub, f"{hub.outside[0]}:{PORT}", None)])
    assert stock.pings(hub, timeout=3)
    return hub, stock


def pids_in(ns):
    return [int(p) for p in run(["ip", "netns", "pids", ns]).split()]


def gone(side):
    return not side.has_interface() and not os.path.exists(wireguard_socket(side.ifname))


# ---------------------------------------------------------------- command line and life cycle

def test_version_and_usage(net):
    status, out = exit_status_in(net.left.ns, [GUARDMOUNTD, "--version"])
    assert status == 0 and "guardmount" in out.lower()
    for wrong in ([], ["-x"], ["one", "two"], ["-f"], ["a-name-that-is-too-long"], ["a/b"]):
        status, out = exit_status_in(net.left.ns, [GUARDMOUNTD, *wrong])
        assert status == 2 and out, f"{wrong}: {status}"
    status, out = exit_status_in(net.left.ns, [GUARDMOUNTD, "-c"])
    assert status == 2 and "-c needs the name of a file" in out, out


def test_it_goes_to_the_background_when_both_are_there(net):
    side = net.left
    status, out = exit_status_in(side.ns, [GUARDMOUNTD, side.ifname])
    assert status == 0, out
    assert side.has_interface() and socket_answers(wireguard_socket(side.ifname))
    left_behind = pids_in(side.ns)
    assert left_behind
    for pid in left_behind:
        assert os.getsid(pid) != os.getsid(0)
    os.kill(left_behind[0], signal.SIGTERM)
    wait_until(lambda: gone(side), GONE_WITHIN_S, "SIGTERM leaves something behind")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing(net, hub, number):
    hub.process.signal(number)
    assert hub.process.wait(GONE_WITHIN_S) and hub.process.exit_status() == 0
    assert gone(hub)


def test_deleting_the_link_ends_it_and_the_name_is_free_at_once(net):
    hub, _ = pair(net)
    for _ in range(3):
        ip_batch(hub.ns, [f"link del {hub.ifname}"])
        assert hub.process.wait(GONE_WITHIN_S), "wg-quick down is followed by up at once"
        assert not os.path.exists(wireguard_socket(hub.ifname))
        hub.start(GUARDMOUNTD)


def test_deleting_the_socket_ends_it(net, hub):
    os.unlink(wireguard_socket(hub.ifname))
    assert hub.process.wait(GONE_WITHIN_S)
    assert gone(hub)


def test_socket_and_directory_modes(hub):
    info = os.stat(wireguard_socket(hub.ifname))
    assert stat.S_ISSOCK(info.st_mode) and info.st_mode & 0o077 == 0
    assert stat.S_IMODE(os.stat("/var/run/wireguard").st_mode) & 0o022 == 0


def test_a_second_one_of_the_same_name_is_refused(net, hub):
    status, out = exit_status_in(net.right.ns, [GUARDMOUNTD, "-f", hub.ifname])
    assert status == 1 and "in use" in out, out
    assert socket_answers(wireguard_socket(hub.ifname)), "the first one is unharmed"


def test_a_stale_socket_is_replaced(net, hub):
    hub.process.signal(signal.SIGKILL)
    # The kernel closes what a killed process had open a moment after the process is gone.
    wait_until(lambda: not socket_answers(wireguard_socket(hub.ifname))
               and not hub.has_interface(), 5, "the killed one lives on")
    assert os.path.exists(wireguard_socket(hub.ifname))
    hub.start(GUARDMOUNTD)
    assert "errno=0" in uapi(hub.ifname, "get=1\n\n")


def test_environment_keeps_it_in_the_foreground(net):
    side = net.left
    process = spawn([GUARDMOUNTD, side.ifname], side.ns, net.log(side.ifname),
                    {"WG_PROCESS_FOREGROUND": "1"})
    net.processes.append(process)
    wait_until(lambda: socket_answers(wireguard_socket(side.ifname)), 5, "no socket")
    assert process.alive()


def test_a_tun_that_is_handed_in_is_used(net):
    import fcntl
    import struct
    side = net.left
    with in_netns(side.ns):
        tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH14x", side.ifname.encode(), 0x1001))
    os.set_inheritable(tun, True)
    process = spawn([GUARDMOUNTD, "-f", side.ifname], side.ns, net.log(side.ifname),
                    {"WG_TUN_FD": str(tun)}, pass_fds=[tun])
    net.processes.append(process)
    os.close(tun)
    wait_until(lambda: socket_answers(wireguard_socket(side.ifname)), 5,
               lambda: net.log_text(side.ifname))
    stock = net.right.start(WIREGUARD_GO)
    side.configure(PORT, [(stock, None, None)])
    stock.configure(PORT, [(side, f"{side.outside[0]}:{PORT}", None)])
    assert stock.pings(side, timeout=3)


def test_a_uapi_socket_that_is_handed_in_is_used(net):
    side = net.left
    path = os.path.join(net.dir, "handed.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.bind(path)
        s.listen(8)
        s.set_inheritable(True)
        process = spawn([GUARDMOUNTD, "-f", side.ifname], side.ns, net.log(side.ifname),
                        {"WG_UAPI_FD": str(s.fileno())}, pass_fds=[s.fileno()])
        net.processes.append(process)
    wait_until(side.has_interface, 5, lambda: net.log_text(side.ifname))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as c:
        c.settimeout(5)
        c.connect(path)
        c.sendall(b"get=1\n\n")
        assert b"errno=0" in c.recv(65536)


def test_the_tun_works_after_a_move_to_another_namespace(net):
    hub, stock = pair(net)
    inner = net.add_netns("inner")
    run(["ip", "-n", hub.ns, "link", "set", hub.ifname, "netns", inner])
    ip_batch(inner, [f"addr add {hub.inside[0]}/24 dev {hub.ifname}",
                     f"addr add {hub.inside[1]}/64 dev {hub.ifname} nodad",
                     f"link set {hub.ifname} up"])
    assert stock.pings(hub, count=3, timeout=2), "the UDP socket stays where it was"
    ip_batch(inner, [f"link del {hub.ifname}"])
    assert hub.process.wait(GONE_WITHIN_S), "deletion is seen wherever the link is"


def test_mtu_is_1420_from_the_start(hub):
    assert "mtu 1420" in run(["ip", "-n", hub.ns, "link", "show", hub.ifname])


# ---------------------------------------------------------------- wg

def test_wg_reads_back_what_it_set(net, hub):
    key, psk = wg_keypair()[1], run(["wg", "genpsk"]).strip()
    text = (f"[Interface]\nListenPort = 4711\nFwMark = 0x2a\nPrivateKey = {hub.private}\n\n"
            f"[Peer]\nPublicKey = {key}\nPresharedKey = {psk}\n"
            "AllowedIPs = 10.9.0.0/16, fd09::/48, 0.0.0.0/0\n"
            "Endpoint = [fe80::1%eth0]:99\nPersistentKeepalive = 21\n\n")
    hub.wg("setconf", "/dev/stdin", input=text)
    shown = hub.wg("showconf")
    for line in text.replace("10.9.0.0/16, fd09::/48, 0.0.0.0/0", "").splitlines():
        assert line in shown, line
    assert sorted(shown.split("AllowedIPs = ")[1].splitlines()[0].split(", ")) == \
        ["0.0.0.0/0", "10.9.0.0/16", "fd09::/48"]
    device, peer = hub.wg("show", "dump").splitlines()
    assert device.split("\t") == [hub.private, hub.public, "4711", "0x2a"]
    assert len(peer.split("\t")) == 8 and peer.split("\t")[-1] == "21"
    assert hub.ifname in run_in(hub.ns, ["wg", "show", "interfaces"]).split()


def test_setconf_takes_peers_away_and_set_moves_prefixes(hub):
    a, b = (wg_keypair()[1] for _ in range(2))
    hub.wg("set", "peer", a, "allowed-ips", "10.9.0.0/16,10.8.0.0/16")
    hub.wg("set", "peer", b, "allowed-ips", "10.8.0.0/16")
    rows = dict(row.split("\t") for row in hub.wg("show", "allowed-ips").splitlines())
    assert rows == {a: "10.9.0.0/16", b: "10.8.0.0/16"}
    hub.wg("setconf", "/dev/stdin", input=f"[Peer]\nPublicKey = {b}\nAllowedIPs = 10.9.1.0/24\n")
    assert hub.wg("show", "allowed-ips").split() == [b, "10.9.1.0/24"]
    hub.wg("set", "peer", b, "remove")
    assert hub.wg("show", "peers") == ""


def test_syncconf_disturbs_no_session(net):
    hub, stock = pair(net)
    before, bytes_before = hub.handshake_at(stock), hub.transfer(stock)
    conf = hub.wg("showconf")
    extra = wg_keypair()[1]
    hub.wg("syncconf", "/dev/stdin",
           input=conf + f"\n[Peer]\nPublicKey = {extra}\nAllowedIPs = 10.9.0.0/16\n")
    assert extra in hub.wg("show", "peers").split()
    time.sleep(1.1)                   # so that a new handshake would carry another second
    assert stock.pings(hub, count=2)
    assert hub.handshake_at(stock) == before and hub.transfer(stock) > bytes_before
    hub.wg("syncconf", "/dev/stdin", input=conf)
    assert extra not in hub.wg("show", "peers").split()
    assert stock.pings(hub) and hub.handshake_at(stock) == before


def test_our_own_key_as_a_peer_is_ignored(hub):
    hub.wg("set", "private-key", "/dev/stdin", input=hub.private + "\n")
    hub.wg("set", "peer", hub.public, "allowed-ips", "10.9.0.0/16")
    assert hub.wg("show", "peers") == ""


def test_fwmark_marks_what_leaves(net):
    hub, stock = pair(net)
    run_in(hub.ns, ["nft", "-f", "-"], input="""table inet t {
        chain out { type filter hook output priority 0;
            meta mark 0x2a counter
        }
    }\n""")
    hub.wg("set", "fwmark", "0x2a")
    assert stock.pings(hub, count=3)
    counted = run_in(hub.ns, ["nft", "list", "table", "inet", "t"])
    assert "packets 0 " not in counted, counted


def kernel_has_wireguard(ns):
    run(["ip", "-n", ns, "link", "add", "gmpkernel", "type", "wireguard"], check=False)
    return link_exists(ns, "gmpkernel") or os.path.exists("/sys/module/wireguard")


def test_wg_quick_up_and_down(net):
    """In a mount namespace of its own: wg-quick wants its file and calls ip, and our program."""
    if kernel_has_wireguard(net.right.ns):
        pytest.skip("this kernel has WireGuard: wg-quick takes that")
    side, stock = net.left, net.right.start(WIREGUARD_GO)
    stock.configure(PORT, [(side, None, None)])
    conf = os.path.join(net.dir, f"{side.ifname}.conf")
    with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"[Interface]\nPrivateKey = {side.private}\nListenPort = {PORT}\n"
                f"Address = {side.inside[0]}/24, {side.inside[1]}/64\n"
                f"PostUp = echo up > {net.dir}/up\nTable = off\n"
                f"[Peer]\nPublicKey = {stock.public}\nEndpoint = {stock.outside[0]}:{PORT}\n"
                f"AllowedIPs = {stock.inside[0]}/32, {stock.inside[1]}/128\n")
    env = {**os.environ, "WG_QUICK_USERSPACE_IMPLEMENTATION": GUARDMOUNTD}
    for _ in range(2):
        out = run_in(side.ns, ["wg-quick", "up", conf], env=env)
        assert os.path.exists(f"{net.dir}/up"), out
        assert socket_answers(wireguard_socket(side.ifname)), out
        assert side.pings(stock, timeout=3)
        run_in(side.ns, ["wg-quick", "down", conf], env=env)
        wait_until(lambda: gone(side), GONE_WITHIN_S, "wg-quick down leaves something behind")
        os.unlink(f"{net.dir}/up")


# ---------------------------------------------------------------- UAPI

def test_a_whole_set_is_refused_when_a_line_is_wrong(hub):
    key = bytes(range(32)).hex()
    good = f"public_key={key}\nallowed_ip=10.9.0.0/16\n"
    for bad in ("no_such_key=1\n", "persistent_keepalive_interval=70000\n", "allowed_ip=10.9/99\n",
                "endpoint=nowhere\n", "preshared_key=12\n", "no equals sign\n",
                "protocol_version=2\n"):
        assert uapi(hub.ifname, f"set=1\nlisten_port=4712\n{good}{bad}\n") == "errno=-22\n\n", bad
        assert "public_key" not in uapi(hub.ifname, "get=1\n\n"), f"applied in part: {bad}"
        assert "listen_port=4712" not in uapi(hub.ifname, "get=1\n\n")
    assert uapi(hub.ifname, f"set=1\n{good}\n") == "errno=0\n\n"
    assert key in uapi(hub.ifname, "get=1\n\n")


def test_get_has_the_order_that_tools_rely_on(net):
    hub, _ = pair(net)
    text = uapi(hub.ifname, "get=1\n\n")
    keys = [line.split("=")[0] for line in text.strip().splitlines()]
    assert text.endswith("errno=0\n\n") and keys[0] == "private_key"
    assert keys.index("listen_port") < keys.index("public_key")
    at = keys.index("last_handshake_time_sec")
    assert keys[at + 1] == "last_handshake_time_nsec"


def test_a_taken_port_is_refused(net, hub):
    with in_netns(hub.ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", 4713))
    assert uapi(hub.ifname, "set=1\nlisten_port=4713\n\n") == "errno=-98\n\n"
    s.close()
    assert uapi(hub.ifname, "set=1\nlisten_port=4713\n\n") == "errno=0\n\n"


def test_several_operations_on_one_connection(hub):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(wireguard_socket(hub.ifname))
        for _ in range(3):
            s.sendall(b"get=1\n\n")
            assert s.recv(65536).endswith(b"errno=0\n\n")
            s.sendall(b"set=1\nfwmark=1\n\n")
            assert s.recv(65536) == b"errno=0\n\n"


def test_a_client_that_stalls_in_the_middle_blocks_nobody(net):
    hub, stock = pair(net)
    stalled = []
    for half in (b"", b"set=1\n", b"set=1\nlisten_port=47", b"get=1\n",
                 b"set=1\npublic_key=" + b"a" * 64 + b"\nallowed_ip=10.9.0.0/16\n"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(wireguard_socket(hub.ifname))
        s.sendall(half)
        stalled.append(s)
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)   # never reads its answers
    reader.connect(wireguard_socket(hub.ifname))
    reader.setblocking(False)
    try:
        for _ in range(20000):
            reader.send(b"get=1\n\n")
    except BlockingIOError:
        pass
    started = time.monotonic()
    assert stock.public in hub.wg("show", "peers", timeout=5)
    hub.wg("set", "fwmark", "7", timeout=5)
    assert time.monotonic() - started < 2
    assert stock.pings(hub, count=3)
    for s in [*stalled, reader]:
        s.close()
    assert "public_key=" + "a" * 64 not in uapi(hub.ifname, "get=1\n\n")


def test_many_allowed_ips_on_one_peer_go_in_and_come_back(hub):
    """65 280 of each family in one set, as WireGuard's own netns.sh does."""
    key = "ab" * 32
    v4 = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(65280)]
    v6 = [f"fd00:{n:x}::/64" for n in range(1, 65281)]
    request = f"set=1\npublic_key={key}\n" + "".join(f"allowed_ip={p}\n" for p in v4 + v6) + "\n"
    started = time.monotonic()
    assert uapi(hub.ifname, request, timeout=30) == "errno=0\n\n"
    text = uapi(hub.ifname, "get=1\n\n", timeout=30)
    took = time.monotonic() - started
    got = [line.split("=", 1)[1] for line in text.splitlines() if line.startswith("allowed_ip=")]
    assert sorted(got) == sorted(v4 + v6)
    assert took < 15, f"{took:.1f} s"
    shown = hub.wg("show", "allowed-ips", timeout=30)
    assert len(shown.split()) == 1 + 2 * 65280
    assert uapi(hub.ifname, f"set=1\npublic_key={key}\nremove=true\n\n", timeout=30) \
        == "errno=0\n\n"


def test_sets_from_many_clients_at_once_are_all_applied(hub):
    keys = [os.urandom(32).hex() for _ in range(40)]
    answers = []

    def add(key, n):
        answers.append(uapi(hub.ifname, f"set=1\npublic_key={key}\nallowed_ip=10.9.{n}.0/24\n\n"))
    threads = [threading.Thread(target=add, args=(k, n)) for n, k in enumerate(keys)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert answers == ["errno=0\n\n"] * 40
    text = uapi(hub.ifname, "get=1\n\n")
    assert all(f"public_key={k}\n" in text for k in keys)


@pytest.mark.parametrize("text", ["\n", "\n\n", "get=2\n\n", "frob=1\n\n", "\0" * 100 + "\n\n",
                                  "x" * 100000 + "\n\n", "set=1\n=\n\n"],
                         ids=["newline", "empty", "version", "unknown", "zeros", "long", "nokey"])
def test_rubbish_on_the_socket_is_answered_or_hung_up_on(hub, text):
    try:
        reply = uapi(hub.ifname, text, timeout=1)
        assert "errno=0" not in reply
    except (TimeoutError, ConnectionError):
        pass                             # waiting for more, or hung up on: both are fine
    assert "errno=0" in uapi(hub.ifname, "get=1\n\n"), "others are served all the same"


def test_no_secret_is_in_the_log(net):
    hub = net.left.start(GUARDMOUNTD, env={"LOG_LEVEL": "debug"})
    psk = run(["wg", "genpsk"]).strip()
    stock = net.right.start(WIREGUARD_GO)
    hub.configure(PORT, [(stock, None, psk)])
    stock.configure(PORT, [(hub, f"{hub.outside[0]}:{PORT}", psk)])
    assert stock.pings(hub, timeout=3)
    log = net.log_text(hub.ifname)
    import base64
    for secret in (hub.private, psk):
        assert secret not in log and base64.b64decode(secret).hex() not in log


def test_pids_are_ours_alone(net, hub):
    """The daemon leaves no process behind when it is killed hard."""
    family = hub.process.tree()
    hub.process.signal(signal.SIGKILL)
    wait_until(lambda: all(start_time(p.pid) != p.started for p in family), 5,
               "a process of the daemon outlives it")
    wait_until(lambda: not link_exists(hub.ns, hub.ifname), 5, "the interface outlives it")
