"""The real conntrackd with the configuration that `guardmount ha render --conntrackd` writes: each
member's kernel has the connections of all."""

import re
import shutil

import pytest

from netns import (add_netns, delete_netns, end_process, ip_batch, run, run_in, set_link, spawn,
                   wait_until)
from plain import PREFIX, genkey
from premises import BIN_DIR

NETWORK = "192.168.77"
NAT = ["-p", "tcp", "-s", "10.77.0.5", "-d", "10.0.0.9", "--dport", "80", "--src-nat",
       "10.0.0.100", "--state", "ESTABLISHED", "-t", "600"]


def configurations(count):
    """Of @count members."""
    keys = [genkey() for _ in range(count)]
    cluster = genkey("--cluster")["ClusterKey"]
    members = "".join(f"[Member m{i + 1}]\nId = {i + 1}\nSyncPublicKey = {k['SyncPublicKey']}\n"
                      f"SyncAddress = {NETWORK}.{i + 1}:51900\n" for i, k in enumerate(keys))
    names = ", ".join(f"m{i + 1}" for i in range(count))
    for i, key in enumerate(keys):
        yield (f"[Node]\nId = {i + 1}\n[Cluster]\nName = nat\nClusterKey = {cluster}\n"
               f"SyncPrivateKey = {key['SyncPrivateKey']}\n{members}[Hub main]\nHubId = 1\n"
               f"PrivateKey = {keys[0]['SyncPrivateKey']}\nAddress = 10.77.0.1/24\n[Vip main]\n"
               f"VipId = 1\nHub = main\nOuter = 203.0.113.100/24 dev sync0\nMembers = {names}\n"
               "VridOuter = 51\n[Conntrackd]\nInterface = sync0\n")


class Members:
    def __init__(self, home, count):
        self.ns = [f"{PREFIX}ct{i + 1}" for i in range(count)]
        self.switch, self.processes, self.conf = f"{PREFIX}ct", [None] * count, []
        self.homes = [home / ns for ns in self.ns]
        for ns in [self.switch, *self.ns]:
            add_netns(ns)
        ip_batch(self.switch, ["link add br0 type bridge mcast_snooping 0", "link set br0 up"])
        for i, (ns, text) in enumerate(zip(self.ns, configurations(count))):
            run(["ip", "link", "add", "sync0", "netns", ns, "type", "veth", "peer", "name",
                 f"p{i}", "netns", self.switch])
            ip_batch(self.switch, [f"link set p{i} master br0 up"])
            ip_batch(ns, [f"addr add {NETWORK}.{i + 1}/24 dev sync0"])
            set_link(ns, "sync0", up=True)
            self.homes[i].mkdir()
            conf = self.homes[i] / "guardmount.conf"
            conf.write_text(text)
            conf.chmod(0o600)
            self.conf.append(self.homes[i] / "conntrackd.conf")
            run([BIN_DIR / "guardmount", "ha", "render", "--conntrackd", "-c", conf, "-o",
                 self.conf[i]])
            # Several on one machine: these paths are all that they would share.
            self.conf[i].write_text(re.sub(r"(LockFile|Path) /run\S*/", rf"\1 {self.homes[i]}/",
                                           self.conf[i].read_text()))

    def start(self, i):
        self.processes[i] = spawn(["conntrackd", "-C", self.conf[i]], self.ns[i],
                                  self.homes[i] / "log")
        wait_until((self.homes[i] / "conntrackd.ctl").exists, 5, f"{self.ns[i]}: no conntrackd")

    def stop(self, i):
        end_process(self.processes[i])
        for left in ("conntrackd.lock", "conntrackd.ctl"):
            (self.homes[i] / left).unlink(missing_ok=True)

    def connect(self, i, port):
        """A translated connection, as if the kernel had just made it."""
        run_in(self.ns[i], ["conntrack", "-I", *NAT, "--sport", str(port)])

    def knows(self, i, port):
        wanted = rf"src=10.77.0.5 dst=10.0.0.9 sport={port} .*dst=10.0.0.100 sport=80"
        return re.search(wanted, run_in(self.ns[i], ["conntrack", "-L"]))

    def down(self):
        for process in filter(None, self.processes):
            end_process(process)
        for ns in [self.switch, *self.ns]:
            delete_netns(ns)


@pytest.mark.skipif(not shutil.which("conntrackd"), reason="there is no conntrackd")
@pytest.mark.parametrize("count", [2, 3])
def test_every_member_has_the_translated_connections_of_all(tmp_path, count):
    members = Members(tmp_path, count)
    try:
        for i in range(count):
            members.start(i)
        for i in range(count):
            members.connect(i, 4000 + i)
        for i in range(count):
            for port in range(4000, 4000 + count):
                wait_until(lambda i=i, port=port: members.knows(i, port), 5,
                           f"{members.ns[i]} does not know {port}")
        # One whose machine was started anew asks for what it missed. What began there itself, a
        # sibling tells when it is made to look into its kernel.
        members.stop(0)
        run_in(members.ns[0], ["conntrack", "-F"])
        members.connect(1, 5000)
        members.start(0)
        wait_until(lambda: members.knows(0, 5000), 5, "it is not told what began meanwhile")
        for option in ("-R", "-B"):
            run_in(members.ns[1], ["conntrackd", "-C", members.conf[1], option])
        wait_until(lambda: members.knows(0, 4000), 5, "it is not told what began there")
        for home in members.homes:
            log = (home / "log").read_text()
            assert "ERROR" not in log and "warning" not in log.lower(), log
    finally:
        members.down()
