"""The Debian packages from installing to purging, on a clean Debian with systemd: what starts when and
as whom, what a reload and a hung thread do, what is kept and what is left. Each step goes on where the
one before it ended.

  python3 packaging/smoke/test_deb.py build/packages/*.deb
"""

import ctypes
import os
import re
import sys
import time
from pathlib import Path

from machine import Machine

UNIT = "guardmountd.service"
CONF = "/etc/guardmount/guardmount.conf"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
EXTRA = ("wireguard-tools", "iproute2", "keepalived", "procps")
CAPS = 1 << 10 | 1 << 12 | 1 << 13  # NET_BIND_SERVICE, NET_ADMIN, NET_RAW
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
WATCHDOG_S = 2


def packages_of(m):
    return [f"/packages/{p.name}" for p in sorted(m.file("/packages").iterdir())]


def install(m, *more):
    m.run("apt-get", "install", "-y", "--no-install-recommends", *more)


def daemons(m):
    return m.run("pgrep", "-x", "guardmountd", check=False).stdout.split()


def is_active(m):
    return m.show(UNIT, "ActiveState") == "active"


def facts(m, pid):
    return dict(re.findall(r"^(\w+):\s*(.*)$", m.out("cat", f"/proc/{pid}/status"), re.M))


def genkey(m, *words):
    return dict(re.findall(r"^(\w+) = (\S+)$", m.out("guardmount", "genkey", *words), re.M))


def write_conf(m):
    pair, hub = genkey(m), genkey(m)
    m.file(CONF).write_text(f"""
[Node]
Id = 1
LogLevel = info
[Cluster]
Name = smoke
ClusterKey = {genkey(m, "--cluster")["ClusterKey"]}
SyncPrivateKey = {pair["SyncPrivateKey"]}
SoloStartAfter = 0
[Member m1]
Id = 1
SyncPublicKey = {pair["SyncPublicKey"]}
SyncAddress = 127.0.0.1:51900
[Hub main]
HubId = 1
PrivateKey = {hub["SyncPrivateKey"]}
Address = 10.77.0.1/24
[Vip main]
VipId = 1
Hub = main
Port = 443
Outer = 192.0.2.100/24 dev eth0
Members = m1
VridOuter = 51
""")
    m.run("chgrp", "guardmount", CONF)
    m.run("chmod", "640", CONF)
    return hub["SyncPublicKey"]


def installing_starts_nothing(m):
    install(m, *packages_of(m))
    assert m.show(UNIT, "UnitFileState") == "enabled"
    assert m.show(UNIT, "ActiveState") == "inactive" and not daemons(m)
    m.run("systemctl", "start", UNIT)  # as at a boot: skipped, which is no failure
    assert m.show(UNIT, "ActiveState") == "inactive" and m.show(UNIT, "ConditionResult") == "no"
    for path, want in (("/run/guardmount", "1775 root guardmount"),
                       ("/run/wireguard", "1775 root guardmount"),
                       ("/etc/guardmount", "750 root guardmount")):
        assert m.out("stat", "-c", "%a %U %G", path) == want, path


def a_plain_interface_is_seen_by_wg(m):
    m.run("guardmountd", "wg0")
    assert m.out("wg", "show", "interfaces") == "wg0"
    assert "listening port" in m.out("wg", "show", "wg0")
    m.run("ip", "link", "delete", "wg0")
    m.wait("the daemon ends with its interface", 5, lambda: not daemons(m))
    # Also as a service of its own; systemd-run returns when the daemon has said that it is ready.
    m.run("systemd-run", "--unit=plain", "--property=Type=notify", "guardmountd", "-f", "wg1")
    assert m.out("wg", "show", "interfaces") == "wg1"
    m.run("systemctl", "stop", "plain")
    assert m.out("wg", "show", "interfaces") == ""


def a_member_starts_as_its_own_user(m):
    key = write_conf(m)
    m.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "switch0")
    m.run("ip", "link", "set", "eth0", "up")
    m.run("ip", "link", "set", "switch0", "up")
    m.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    assert "good: member m1" in m.out("guardmount", "check-config")
    assert "vrrp_instance" in m.out("guardmount", "ha", "render")
    m.run("systemctl", "start", UNIT)  # returns when the daemon has said that it is ready
    assert is_active(m)
    f = facts(m, m.show(UNIT, "MainPID"))
    uid = m.out("id", "-u", "guardmount")
    assert uid != "0" and f["Uid"].split() == [uid] * 4, f["Uid"]
    assert int(f["CapPrm"], 16) == int(f["CapEff"], 16) == int(f["CapBnd"], 16) == CAPS, f
    assert int(f["CapAmb"], 16) == 0, f["CapAmb"]  # it dropped what a new program would inherit
    assert f["NoNewPrivs"] == "1" and f["Seccomp"] == "2" and int(f["Seccomp_filters"]) > 2, f
    sentinels = m.out("pgrep", "-x", "gm-sentinel").split()
    assert len(sentinels) == 1
    assert int(facts(m, sentinels[0])["CapEff"], 16) == 1 << 12
    assert m.out("wg", "show", "hub1", "public-key") == key
    assert m.out("stat", "-c", "%a %U", "/var/lib/guardmount") == "700 guardmount"
    assert m.out("stat", "-c", "%a %G", "/run/guardmount/control.sock") == "660 guardmount-admin"
    m.wait("the member is fit", 10, lambda: m.file_in("/run/guardmount/health") == "1\n")
    m.wait("the status line says so", 5, lambda: re.fullmatch(
        r"BACKUP, 0 of 1 VIP here, 0 peers, 0 of 0 sync links live", m.show(UNIT, "StatusText")))
    # Nothing that the sandbox took away was missed.
    m.no_warnings(UNIT, but="only keys made after joining will be adopted for a while")


def the_member_serves(m):
    """Beside a keepalived that is root, as it is packaged."""
    m.run("guardmount", "ha", "render", "-o", "/etc/keepalived/keepalived.conf")
    m.run("systemctl", "start", "keepalived")
    m.wait("it owns its VIP", 10, lambda: m.show(UNIT, "StatusText").startswith("MASTER, 1 of 1"))
    assert m.out("stat", "-c", "%U", "/run/guardmount/vrrp.fifo") == "guardmount"
    assert m.out("stat", "-c", "%U", "/run/guardmount/keepalived-check.log") == "root"
    peer = genkey(m)["SyncPublicKey"]
    m.run("wg", "set", "hub1", "peer", peer, "allowed-ips", "10.77.0.2/32")
    assert peer in m.out("wg", "show", "hub1", "peers")
    assert m.out("/usr/libexec/guardmount/complete", "why", "") == peer.rstrip("=")
    m.run("guardmount", "status")
    m.run("useradd", "-G", "guardmount-admin", "alice")
    m.run("runuser", "-u", "alice", "--", "guardmount", "status")
    assert m.run("runuser", "-u", "nobody", "--", "guardmount", "status", check=False).returncode == 3


def groups_are_kept_apart(m):
    """The sandbox lets nftables and conntrack through."""
    def fence():
        return re.search(r"^guardmount_fence_in_force\{[^}]*\} (\d)", m.out("guardmount", "metrics"), re.M)[1]

    assert fence() == "0"
    m.run("guardmount", "group", "add", "sealed", "--policy", "isolate", "--network", "192.0.2.0/24")
    m.run("guardmount", "peer", "add", "guest", "--pubkey", genkey(m)["SyncPublicKey"],
          "--address", "10.77.0.3", "--group", "sealed")
    m.wait("the fence is up", 5, lambda: fence() == "1")
    m.run("guardmount", "peer", "revoke", "guest")
    m.run("guardmount", "group", "remove", "sealed")
    m.wait("the fence is down", 5, lambda: fence() == "0")
    m.no_warnings(UNIT, but="only keys made after joining will be adopted for a while")


def a_reload_takes_a_good_file_and_refuses_a_bad_one(m):
    pid, good = m.show(UNIT, "MainPID"), m.file(CONF).read_text()
    m.file(CONF).write_text(good.replace("10.77.0.1/24", "10.77.0.9/24"))
    m.run("systemctl", "reload", UNIT)
    m.wait("the new address is there", 5, lambda: "10.77.0.9" in m.out("ip", "address", "show", "hub1"))
    m.wait("the reload has ended", 5, lambda: is_active(m))
    m.file(CONF).write_text(good.replace("Id = 1", "Id = 99", 1))
    assert m.run("systemctl", "reload", UNIT, check=False).returncode != 0
    m.file(CONF).write_text(good)
    m.run("systemctl", "reload", UNIT)
    m.wait("the reload has ended", 5, lambda: is_active(m))
    assert m.show(UNIT, "MainPID") == pid


def an_upgrade_leaves_the_daemon_alone(m):
    pid = m.show(UNIT, "MainPID")
    install(m, "--reinstall", *packages_of(m))
    assert m.show(UNIT, "MainPID") == pid and is_active(m)


def one_hung_thread_is_enough_for_the_watchdog(m):
    m.file(DROP_INS).mkdir(exist_ok=True)
    m.file(f"{DROP_INS}/smoke.conf").write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n")
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", UNIT)
    pid = m.show(UNIT, "MainPID")
    time.sleep(2 * WATCHDOG_S)
    assert m.show(UNIT, "MainPID") == pid, "the watchdog was not fed: " + m.journal()
    here = host_pid(m, pid)
    workers = [int(t.name) for t in Path(f"/proc/{here}/task").iterdir()
               if (t / "comm").read_text().startswith("gm-worker")]
    assert workers, [(t / "comm").read_text() for t in Path(f"/proc/{here}/task").iterdir()]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    assert libc.ptrace(PTRACE_SEIZE, workers[0], None, None) == 0, ctypes.get_errno()
    assert libc.ptrace(PTRACE_INTERRUPT, workers[0], None, None) == 0, ctypes.get_errno()
    m.wait("the health file goes", 2, lambda: m.file_in("/run/guardmount/health") is None)
    m.wait("the watchdog ends the daemon", 15 + WATCHDOG_S, lambda: ended(workers[0]))
    m.wait("systemd makes a new one", 15,
           lambda: is_active(m) and m.show(UNIT, "MainPID") not in (pid, "0"))
    assert "watchdog" in m.journal().lower()


def ended(thread):
    """Who traces a thread has to take its end, before the process can end."""
    while True:
        found, status = os.waitpid(thread, WALL | os.WNOHANG)
        if not found or not os.WIFSTOPPED(status):
            return found != 0


def host_pid(m, inner):
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = re.search(r"^NSpid:\s+(\d+)\s+(\d+)$", status.read_text(), re.M)
        except OSError:
            continue
        if found and found.group(2) == inner and m.owns(found.group(1)):
            return int(found.group(1))
    raise AssertionError(f"no process {inner} of the machine")


def keys_may_come_as_a_credential(m):
    m.run("systemd-creds", "encrypt", "--with-key=host", "--name=guardmount.conf", CONF, f"{CONF}.cred")
    m.file(CONF).unlink()
    example = m.file("/usr/share/doc/guardmount/examples/credentials.conf").read_text()
    m.file(f"{DROP_INS}/credentials.conf").write_text(example)
    m.run("systemctl", "daemon-reload")
    m.run("systemctl", "restart", UNIT)
    assert is_active(m)
    assert "hub1" in m.out("wg", "show", "interfaces")


def stopping_leaves_no_interface_and_no_health(m):
    m.run("systemctl", "stop", UNIT)
    assert m.show(UNIT, "Result") == "success", m.show(UNIT, "Result")
    assert not daemons(m) and m.run("pgrep", "-x", "gm-sentinel", check=False).returncode == 1
    assert m.out("wg", "show", "interfaces") == "" and m.file_in("/run/guardmount/health") is None
    m.run("systemctl", "start", UNIT)


def removing_keeps_and_purging_removes(m):
    m.run("apt-get", "remove", "-y", "guardmount", "guardmount-tools")
    assert not daemons(m)
    for kept in (f"{CONF}.cred", "/var/lib/guardmount/peers.db", "/var/lib/guardmount/life"):
        assert m.run("test", "-e", kept, check=False).returncode == 0, kept
    m.run("rm", "-r", DROP_INS)  # the admin's own
    m.run("mkdir", "-p", "/var/lib/guardmount-drills")  # as the timer's reports
    m.run("apt-get", "purge", "-y", "guardmount", "guardmount-tools")
    left = m.out("find", "/", "-xdev", "-name", "*guardmount*", "-not", "-path", "/packages/*")
    left += m.out("find", "/run", "-name", "*guardmount*", "-not", "-path", "/run/systemd/*")
    assert left == "", left
    assert "guardmount" not in m.out("dpkg-query", "-W")


STEPS = (installing_starts_nothing, a_plain_interface_is_seen_by_wg, a_member_starts_as_its_own_user,
         the_member_serves, groups_are_kept_apart, a_reload_takes_a_good_file_and_refuses_a_bad_one,
         an_upgrade_leaves_the_daemon_alone, one_hung_thread_is_enough_for_the_watchdog,
         keys_may_come_as_a_credential, stopping_leaves_no_interface_and_no_health,
         removing_keeps_and_purging_removes)


def main():
    packages = [Path(p) for p in sys.argv[1:] if "-dbgsym_" not in p]
    assert len(packages) == 2, f"the two packages, not {packages}"
    begun = time.monotonic()
    m = Machine(packages, EXTRA)
    try:
        print(f"booted after {time.monotonic() - begun:.1f} s", flush=True)
        for step in STEPS:
            at = time.monotonic()
            step(m)
            print(f"package step {step.__name__}: passed ({time.monotonic() - at:.1f} s)", flush=True)
    except BaseException:
        if m.pid:
            print(m.journal(), file=sys.stderr)
        raise
    finally:
        m.close()


main()
