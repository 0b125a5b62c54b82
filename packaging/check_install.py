"""What `cmake --install` leaves is what a distribution packages: every file is where it belongs, the
unit is as closed as promised, the tools of systemd, AppArmor and SELinux take what is meant for them, and the
shells complete what the command's own help says."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from installed import FILES

BUILD, PREFIX = Path(sys.argv[1]), Path(sys.argv[2])
SOURCE = Path(__file__).parent
os.environ["PATH"] += ":/usr/sbin:/sbin"  # apparmor_parser, for those who are not root
EXPOSURE_MAX = 20  # tenths, of systemd-analyze security


def run(*argv, **kw):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_files(root):
    have = {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}
    want = {str(PREFIX / f).lstrip("/") for f in FILES}
    assert want <= have, f"missing: {sorted(want - have)}"
    assert have <= want, f"not in the list of this test: {sorted(have - want)}"


def check_unit(root):
    unit = root / str(PREFIX / "lib/systemd/system/guardmountd.service").lstrip("/")
    text = unit.read_text()
    assert "@" not in re.sub(r"@(system-service|privileged|resources)\b", "", text), text
    for path in re.findall(r"^Exec\w+=-?(\S+)", text, re.M):
        assert (root / path.lstrip("/")).exists() or path.startswith("/bin/"), path
    assert "ConditionPathExists=/etc/guardmount/guardmount.conf" in text
    # These it needs, or it dies at its start, or adopts nothing: see docs/hardening.md.
    for line in ("SystemCallFilter=capset chown seccomp", "BindPaths=/dev/net/tun"):
        assert line in text, line
    assert "ProcSubset=pid" not in text and "RuntimeDirectory=" not in text
    out = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)
    print(re.search(r"Overall exposure.*", out).group())


def check_drill_units(root):
    """What systemd itself thinks of them, with a VIP's name in the place of the instance."""
    folder = root / "drill-units"
    folder.mkdir()
    for kind in ("service", "timer"):
        unit = root / str(PREFIX / f"lib/systemd/system/guardmount-drill@.{kind}").lstrip("/")
        text = unit.read_text()
        installed = str(PREFIX / "bin/guardmount")
        if kind == "service":
            assert f"exec {installed} drill --scheduled" in text and "%I" in text, text
        (folder / f"guardmount-drill@main.{kind}").write_text(
            text.replace(f"exec {installed}", f"exec {root}{installed}"))
    out = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
              *sorted(folder.glob("*main.*")), stdin=subprocess.DEVNULL)
    print(out)


def check_system_files(root):
    """In a root of its own: the users exist, and the folders have their modes."""
    etc = root / "etc"
    etc.mkdir()
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    for kind in ("sysusers", "tmpfiles"):
        folder = root / f"usr/lib/{kind}.d"
        folder.mkdir(parents=True, exist_ok=True)
        made = root / str(PREFIX / f"lib/{kind}.d/guardmount.conf").lstrip("/")
        (folder / "guardmount.conf").write_text(made.read_text())
    run("systemd-sysusers", f"--root={root}", "guardmount.conf")
    groups = (etc / "group").read_text()
    assert re.search(r"^guardmount-admin:.*:guardmount$", groups, re.M), groups
    assert re.search(r"^guardmount:.*:/usr/sbin/nologin$", (etc / "passwd").read_text(), re.M)
    if os.geteuid() != 0:
        return
    run("systemd-tmpfiles", f"--root={root}", "--create", "guardmount.conf")
    gid = int(re.search(r"^guardmount:x:(\d+):", groups, re.M).group(1))
    for name, mode in (("run/guardmount", 0o1775), ("run/wireguard", 0o1775),
                       ("etc/guardmount", 0o750)):
        s = (root / name).stat()
        assert (s.st_mode & 0o7777, s.st_uid, s.st_gid) == (mode, 0, gid), (name, oct(s.st_mode))
    assert (root / "run/guardmount/keepalived-check.log").stat().st_uid == 0


class Completion:
    def __init__(self, root):
        at = lambda f: root / str(PREFIX / f).lstrip("/")
        self.guardmount, self.helper = at("bin/guardmount"), at("libexec/guardmount/complete")
        self.env = dict(os.environ, GUARDMOUNT=str(self.guardmount), LC_ALL="C.UTF-8")
        self.scripts = {}
        for shell, f in (("bash", "share/bash-completion/completions/guardmount"),
                         ("zsh", "share/zsh/site-functions/_guardmount"),
                         ("fish", "share/fish/vendor_completions.d/guardmount.fish")):
            text = at(f).read_text()
            installed = str(PREFIX / "libexec/guardmount/complete")
            assert installed in text, f
            self.scripts[shell] = root / f"script.{shell}"
            self.scripts[shell].write_text(text.replace(installed, str(self.helper)))

    def help(self, *words):
        return run(self.guardmount, "help", *words)

    def of_helper(self, *words):
        out = run(self.helper, *words, env=self.env).splitlines()
        return [line.split("\t")[0] for line in out]

    def of_bash(self, *words):
        quoted = " ".join(f"'{w}'" for w in ("guardmount",) + words)
        out = run("bash", "--norc", "-c", f"source {self.scripts['bash']}; COMP_WORDS=({quoted});"
                  f"COMP_CWORD={len(words)}; _guardmount; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                  env=self.env)
        return out.split()

    def of_zsh(self, *words):
        quoted = " ".join(f"'{w}'" for w in ("guardmount",) + words)
        out = run("zsh", "-f", "-c", "_describe() { print -rl -- ${(P)argv[-1]} };"
                  "_files() { print :files };"
                  f"words=({quoted}); CURRENT={len(words) + 1}; source {self.scripts['zsh']}",
                  env=self.env)
        return [line.split(":")[0] or line for line in out.splitlines()]

    def of_fish(self, *words):
        out = run("fish", "-N", "-c", f"source {self.scripts['fish']};"
                  f"complete -C 'guardmount {' '.join(words)}'", env=self.env)
        return [line.split("\t")[0] for line in out.splitlines()]


def options_in(text):
    """Of the lines of a help text that begin with one."""
    found = set()
    for line in re.findall(r"^ +(-.*)$", text, re.M):
        found |= set(re.findall(r"(?:^|[ ,])(--?[a-z][a-z-]*)", re.split(r"  +", line)[0]))
    return found


def check_completions(root):
    c = Completion(root)
    general = c.help()
    commands = re.findall(r"^  ([a-z][a-z-]+) {2,}\S", general, re.M)
    assert len(commands) >= 8 and "status" in commands, general
    assert c.of_helper("") == commands == c.of_helper("--json", "") == c.of_helper("help", "")
    assert c.of_helper("-s", "x", "--color", "=", "never", "") == commands
    for command in commands:
        text = c.help(command)
        want = options_in(general) | options_in(text)
        assert set(c.of_helper(command, "-")) == want, (command, want, c.of_helper(command, "-"))
        first = re.match(r"Usage: guardmount \S+ ([a-z]+(?:\|[a-z]+)*)(?= |$)", text)
        if first:
            assert c.of_helper(command, "") == first.group(1).split("|"), command
    assert c.of_helper("-s", "") == [":files"] == c.of_helper("ha", "render", "-o", "")
    assert c.of_helper("check-config", "") == [":files"]
    assert c.of_helper("--color", "") == ["auto", "always", "never"]

    assert c.of_helper("drill", "--method", "") == ["drain", "stop", "kill", "freeze", "isolate"]

    # What the daemon knows: here one that is asked in vain, but for its status.
    daemon = root / "with-a-daemon"
    daemon.write_text(f"""#!/bin/sh
[ "$1" = status ] || exec '{c.guardmount}' "$@"
printf '{{\\n  "name": "m1",\\n  "members": [\\n    {{\\n      "name": "m1"\\n    }},\\n    {{\\n      "name": "m2"\\n    }}\\n  ],\\n'
printf '  "vips": [\\n    {{\\n      "name": "main"\\n    }}\\n  ]\\n}}\\n'
""")
    daemon.chmod(0o755)
    c.env["GUARDMOUNT"] = str(daemon)
    assert c.of_helper("drain", "") == ["m1", "m2"] == c.of_helper("promote", "main", "")
    assert c.of_helper("promote", "") == ["main"] == c.of_helper("drain", "--vip", "")
    c.env["GUARDMOUNT"] = str(c.guardmount)

    st = sorted(x for x in commands if x.startswith("st"))
    assert c.of_bash("st") == st and sorted(c.of_fish("st")) == st, (c.of_bash("st"), c.of_fish("st"))
    assert set(c.of_zsh("st")) == set(commands), c.of_zsh("st")  # zsh filters by itself
    assert c.of_bash("--color", "=", "al") == ["always"]
    assert "--peers" in c.of_bash("status", "--p") and "--peers" in c.of_fish("status", "--p")
    assert "--peers" in c.of_zsh("status", "--p") and ":files" in c.of_zsh("check-config", "")
    folder = root / "a-folder"
    folder.mkdir()
    assert c.of_bash("check-config", f"{root}/a-fol") == [str(folder)]
    assert c.of_fish("check-config", f"{root}/a-fol") == [f"{folder}/"]


def check_manuals(root, pages=((1, "guardmount"), (5, "guardmount.conf"), (7, "guardmount-events"),
                               (8, "guardmountd"))):
    """They are formatted without a complaint, and guardmount(1) knows what the help knows."""
    at = lambda section, name: root / str(PREFIX / f"share/man/man{section}/{name}.{section}").lstrip("/")
    for section, name in pages:
        if shutil.which("groff"):
            said = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-rLL=78n", at(section, name)],
                                  capture_output=True, text=True)
            assert said.returncode == 0 and not said.stderr, said.stderr
    page = at(1, "guardmount").read_text().replace("\\fB", "").replace("\\fR", "").replace("\\-", "-")
    c = Completion(root)
    general = c.help()
    for command in re.findall(r"^  ([a-z][a-z-]+) {2,}\S", general, re.M):
        missing = {o for o in options_in(c.help(command)) if not re.search(rf"(?<![\w-]){o}(?![\w-])", page)}
        assert not missing, f"guardmount(1) does not name {missing} of {command}"


def check_confinement(root):
    """Parsed, as far as that goes without a kernel that has them."""
    run("apparmor_parser", "-Q", "-K", "-T", BUILD / "packaging/apparmor/usr.sbin.guardmountd")
    module, contexts = SOURCE / "selinux/guardmount.te", SOURCE / "selinux/guardmount.fc"
    run("checkmodule", "-M", "-m", "-o", root / "guardmount.mod", module)
    run("semodule_package", "-o", root / "guardmount.pp", "-m", root / "guardmount.mod",
        "-f", contexts)
    for path, name in re.findall(r"^(\S+)\s.*:object_r:(\w+):s0$", contexts.read_text(), re.M):
        assert f"type {name};" in module.read_text(), (path, name)


def check_versions():
    version = re.search(r"\nproject\(guardmount VERSION ([0-9.]+)", (SOURCE / "../CMakeLists.txt").read_text()).group(1)
    assert (SOURCE / "deb/changelog").read_text().startswith(f"guardmount ({version}-"), version
    assert f"\nVersion: {version}\n" in (SOURCE / "rpm/guardmount.spec").read_text(), version


def main():
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        root = Path(name)
        run("cmake", "--install", BUILD, env=dict(os.environ, DESTDIR=name))
        check_files(root)
        check_unit(root)
        check_drill_units(root)
        check_completions(root / "")
        check_manuals(root)
        check_system_files(root)
        check_confinement(root)
        check_versions()


main()
