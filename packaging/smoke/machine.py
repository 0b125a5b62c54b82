"""A clean Debian root with systemd as its first process, in namespaces of its own: what a package
does on a machine, without a machine. Needs root, debootstrap, and cgroup v2 mounted somewhere."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SUITE = "bookworm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "guardmount" / "smoke"
BOOT_S = 30
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
       "DEBIAN_FRONTEND": "noninteractive"}

# As the first process of its namespaces: a root of its own, with what a container manager gives.
INIT = r"""
set -e
R=$1
mount --bind "$R" "$R"
mount -t proc proc "$R/proc"
mount -t sysfs -o ro sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs tmpfs "$R/run"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
mkdir -p "$R/dev/net" "$R/dev/shm" "$R/dev/pts" "$R/old-root"
for n in null zero full random urandom tty; do
    touch "$R/dev/$n"
    mount --bind "/dev/$n" "$R/dev/$n"
done
mknod -m 666 "$R/dev/net/tun" c 10 200 # as udev does
mount -t devpts -o newinstance,ptmxmode=666 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
cd "$R"
pivot_root . old-root
umount -l /old-root
mount --make-rshared / # a container's manager does that; credentials are mounted by a child
exec env -i container=guardmount-smoke PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def run(*argv, check=True, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **kw)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def mirror():
    """Where this machine has its packages from."""
    out = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)").stdout
    found = [line.split()[0] for line in out.splitlines() if line.endswith(f" {SUITE}")]
    return found[:1]  # none: debootstrap's own


def make_root(where, packages, extra):
    """With @extra installed, and what the files @packages need in the cache of its apt."""
    needs = "".join(run("dpkg-deb", "-f", p, "Depends").stdout for p in packages) + " ".join(extra)
    tar, told = CACHE / "root.tar", CACHE / "root.needs"
    if not tar.exists() or not told.exists() or told.read_text() != needs:
        print("making a root; only the first time takes long", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        new = CACHE / "new"
        shutil.rmtree(new, ignore_errors=True)
        run("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv", SUITE, new, *mirror())
        shutil.copy("/etc/resolv.conf", new / "etc/resolv.conf")
        for p in packages:
            shutil.copy(p, new / "tmp")
        names = [f"/tmp/{Path(p).name}" for p in packages]
        apt = ("chroot", new, "apt-get", "install", "-y", "--no-install-recommends")
        run(*apt, *extra, env=ENV)
        run("chroot", new, "apt-get", "clean")
        run(*apt, "--download-only", *names, env=ENV)
        for p in names:
            (new / p.lstrip("/")).unlink()
        run("tar", "-C", new, "-cf", tar, ".")
        told.write_text(needs)
        shutil.rmtree(new)
    run("tar", "-C", where, "-xf", tar)


def cgroup2():
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    raise AssertionError("no cgroup v2 is mounted here: systemd cannot be run")


class Machine:
    def __init__(self, packages, extra=()):
        self.dir = Path(tempfile.mkdtemp(prefix="gm-smoke-", dir="/tmp"))
        self.root = self.dir / "root"
        self.root.mkdir()
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.root)  # dpkg syncs a lot
        self.group = cgroup2() / self.dir.name
        self.pid = None
        try:
            make_root(self.root, packages, extra)
            (self.root / "packages").mkdir()
            for p in packages:
                shutil.copy(p, self.root / "packages")
            self.boot()
        except BaseException:
            self.close()
            raise

    def boot(self):
        self.group.mkdir()
        procs = self.group / "cgroup.procs"
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork",
             "--kill-child", "--propagation", "private", "bash", "-c", INIT, "init", str(self.root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.dir / "boot.log", "w"),
            preexec_fn=lambda: procs.write_text(str(os.getpid())))
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            if children.exists() and children.read_text().split():
                self.pid = int(children.read_text().split()[0])
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.05)
        raise AssertionError("systemd did not start: " + (self.dir / "boot.log").read_text())

    def run(self, *argv, **kw):
        return run("nsenter", "-t", self.pid, "--all", *argv, env=ENV, **kw)

    def out(self, *argv):
        return self.run(*argv).stdout.strip()

    def show(self, unit, prop):
        return self.out("systemctl", "show", "--value", "-p", prop, unit)

    def wait(self, what, seconds, condition):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what}\n" + self.journal())

    def journal(self):
        return self.run("journalctl", "--no-pager", "-n", "60", check=False).stdout

    def no_warnings(self, unit, but):
        out = self.out("journalctl", "--no-pager", "-q", "-o", "cat", "-u", unit, "-p", "warning")
        bad = [line for line in out.splitlines() if but not in line]
        assert not bad, bad

    def file(self, path):
        """On the disk. What is below /run and /dev only the machine itself sees: file_in()."""
        return self.root / str(path).lstrip("/")

    def file_in(self, path):
        done = self.run("cat", path, check=False)
        return done.stdout if done.returncode == 0 else None

    def owns(self, pid):
        """Is that process of this machine's systemd?"""
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")

    def close(self):
        if self.group.exists():
            (self.group / "cgroup.kill").write_text("1")
            self.process.wait()
            for _ in range(100):
                try:
                    for sub in sorted((p for p in self.group.rglob("*") if p.is_dir()),
                                      key=lambda p: -len(p.parts)):
                        sub.rmdir()
                    self.group.rmdir()
                    break
                except OSError:
                    time.sleep(0.05)
        run("umount", "-l", self.root)
        shutil.rmtree(self.dir)
