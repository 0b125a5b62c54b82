"""The example configuration, filled in as its comments say, is one that check-config takes, for both
members; as it is, it is refused with every key that must be put in."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs/examples/guardmount.conf"
GUARDMOUNT = sys.argv[1]


def genkey(*arguments):
    text = subprocess.run([GUARDMOUNT, "genkey", *arguments], check=True, capture_output=True,
                          text=True).stdout
    return dict(re.findall(r"^(\w+) = (\S+)$", text, re.M))


def check(text):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:  # mode 0600
        f.write(text)
        f.flush()
        done = subprocess.run([GUARDMOUNT, "check-config", f.name], capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).replace(f.name, "F")


def main():
    example = EXAMPLE.read_text()
    status, text = check(example)
    places = [n for n, line in enumerate(example.splitlines(), 1) if "PASTE-" in line]
    told = [int(n) for n in re.findall(r"^F:(\d+): ", text, re.M)]
    assert status == 1 and told == places, f"as it is: status {status}\n{text}"

    members, hub = [genkey(), genkey()], genkey()["SyncPrivateKey"]
    cluster = genkey("--cluster")["ClusterKey"]
    for i, name in enumerate(("berlin", "paris")):
        filled = example.replace("\nId = 1 ", f"\nId = {i + 1} ", 1)
        for word, key in (("PASTE-ClusterKey", cluster), ("PASTE-PrivateKey", hub),
                          ("PASTE-SyncPrivateKey", members[i]["SyncPrivateKey"]),
                          ("PASTE-SyncPublicKey-1", members[0]["SyncPublicKey"]),
                          ("PASTE-SyncPublicKey-2", members[1]["SyncPublicKey"])):
            assert word in filled, word
            filled = filled.replace(word, key)
        status, text = check(filled)
        assert status == 0 and f"good: member {name} of office, 1 hub, 1 VIP" in text, text


main()
