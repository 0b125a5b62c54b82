"""What `cmake --install` leaves below the prefix."""

FILES = """
bin/guardmount
sbin/guardmountd
lib/systemd/system/guardmountd.service
lib/sysusers.d/guardmount.conf
lib/tmpfiles.d/guardmount.conf
libexec/guardmount/complete
share/bash-completion/completions/guardmount
share/fish/vendor_completions.d/guardmount.fish
share/zsh/site-functions/_guardmount
share/man/man1/guardmount.1
share/man/man5/guardmount.conf.5
share/man/man8/guardmountd.8
share/doc/guardmount/examples/guardmount.conf
share/doc/guardmount/examples/sysctl.conf
share/doc/guardmount/examples/keepalived.service.conf
share/doc/guardmount/examples/credentials.conf
share/doc/guardmount/examples/wg-quick.conf
""".split()
