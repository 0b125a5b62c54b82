"""What `cmake --install` leaves below the prefix."""

from pathlib import Path

MAN = Path(__file__).resolve().parents[1] / "docs/man"

FILES = """
bin/guardmount
sbin/guardmountd
lib/systemd/system/guardmountd.service
lib/systemd/system/guardmount-drill@.service
lib/systemd/system/guardmount-drill@.timer
lib/sysusers.d/guardmount.conf
lib/tmpfiles.d/guardmount.conf
libexec/guardmount/complete
share/bash-completion/completions/guardmount
share/fish/vendor_completions.d/guardmount.fish
share/zsh/site-functions/_guardmount
share/doc/guardmount/examples/guardmount.conf
share/doc/guardmount/examples/sysctl.conf
share/doc/guardmount/examples/keepalived.service.conf
share/doc/guardmount/examples/credentials.conf
share/doc/guardmount/examples/wg-quick.conf
""".split()

# Every page: guardmount.conf.5 is made of two parts.
PAGES = {p.name.removesuffix(".scd").replace(".head", "") for p in MAN.glob("*.scd") if ".tail" not in p.name}
FILES += [f"share/man/man{page[-1]}/{page}" for page in sorted(PAGES)]
