"""The RPMs as far as they can be checked on Debian: files, scripts, requirements, what the programs say
when they are unpacked, and rpmlint. Installing them is another matter.

  python3 packaging/rpm/check.py build/packages/*.rpm
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from installed import FILES  # noqa: E402

OTHERS = {"/etc/guardmount", "/usr/libexec/guardmount"}
SYSTEM = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0"}


def run(*argv, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def ask(package, what):
    return run("rpm", "-qp", what, package).splitlines()


def files_are_those_of_the_installation(packages):
    have = [f for p in packages for f in ask(p, "--list")]
    want = {f"/usr/{f}" for f in FILES}
    assert len(have) == len(set(have)), "a file is in two packages"
    more = {f for f in have if not f.startswith(("/usr/share/doc/", "/usr/share/licenses/"))}
    assert want <= set(have), want - set(have)
    assert more <= want | OTHERS, more - want - OTHERS


def scripts_make_users_first_and_restart_nothing(daemon, tools):
    assert ask(tools, "--scripts") == []
    text = "\n".join(ask(daemon, "--scripts"))
    kinds = re.findall(r"^(\w+) scriptlet \(using /bin/sh\):$", text, re.M)
    assert kinds == ["postinstall", "preuninstall"], kinds
    post, preun = re.split(r"^\w+ scriptlet .*$", text, flags=re.M)[1:]
    order = [post.index(w) for w in ("systemd-sysusers", "systemd-tmpfiles", "install-system-units")]
    assert order == sorted(order), post
    assert "$1 -eq 0" in preun and "remove-system-units" in preun, preun
    assert "restart" not in text and "start guardmountd" not in text, text
    for script in (post, preun):
        run("sh", "-n", "-c", script)


def requirements_are_what_the_programs_load(package, root, program):
    told = {r.split("(")[0] for r in ask(package, "--requires") if ".so" in r}
    needed = set(re.findall(r"NEEDED +(\S+)", run("objdump", "-p", root / program)))
    assert needed - SYSTEM and needed - SYSTEM <= told, needed - SYSTEM - told
    assert told <= needed | SYSTEM, told - needed


def main():
    packages = [Path(p) for p in sys.argv[1:] if not p.endswith(".src.rpm")]
    tools = next(p for p in packages if p.name.startswith("guardmount-tools-"))
    daemon, = [p for p in packages if p != tools]
    version = run("rpm", "-qp", "--qf", "%{VERSION}-%{RELEASE}", daemon)
    assert f"guardmount-tools = {version}" in ask(daemon, "--requires")
    assert "systemd" in ask(daemon, "--requires")
    assert "wireguard-tools" in ask(daemon, "--recommends")
    assert "keepalived >= 2.2" in ask(daemon, "--recommends")
    files_are_those_of_the_installation(packages)
    scripts_make_users_first_and_restart_nothing(daemon, tools)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for p in packages:
            content = subprocess.run(["rpm2cpio", p], check=True, capture_output=True).stdout
            subprocess.run(["cpio", "-idm", "--quiet"], input=content, cwd=root, check=True)
        requirements_are_what_the_programs_load(daemon, root, "usr/sbin/guardmountd")
        requirements_are_what_the_programs_load(tools, root, "usr/bin/guardmount")
        number = version.rsplit("-", 1)[0]
        assert run(root / "usr/sbin/guardmountd", "--version") == f"guardmountd {number}\n"
        assert run(root / "usr/bin/guardmount", "version") == f"guardmount {number}\n"
        unit = (root / "usr/lib/systemd/system/guardmountd.service").read_text()
        assert "ExecStart=/usr/sbin/guardmountd " in unit
        assert (root / "etc/guardmount").stat().st_mode & 0o777 == 0o750
        for f in root.rglob("*"):
            assert f.is_dir() or b"BUILDROOT" not in f.read_bytes(), f
    out = run("rpmlint", "-c", HERE / "rpmlint.toml", *sys.argv[1:])
    assert re.search(r"; 0 errors, 0 warnings", out), out
    print(f"package step rpm {version}: passed")


main()
