#!/usr/bin/python3
"""Makes wycheproof.inc of Project Wycheproof's vectors (C2SP/wycheproof, testvectors_v1, Apache-2.0):

    wycheproof.py DIRECTORY > wycheproof.inc

DIRECTORY holds x25519_test.json, chacha20_poly1305_test.json and xchacha20_poly1305_test.json (with
or without a "wycheproof_" before and "_test" after the name). Kept: every X25519 and XChaCha case,
and the ChaCha20-Poly1305 cases that the protocol can express: WireGuard's nonce is four zero bytes
and a counter.
"""

import json
import sys
from pathlib import Path


def cases(directory, name):
    for form in ("{}_test.json", "wycheproof_{}.json"):
        path = Path(directory, form.format(name))
        if path.exists():
            for group in json.loads(path.read_text())["testGroups"]:
                for test in group["tests"]:
                    yield group, test
            return
    sys.exit(f"no vectors of {name} in {directory}")


def row(*fields):
    print("    {" + ", ".join(str(f) if isinstance(f, int) else f'"{f}"' for f in fields) + "},")


def main(directory):
    print("/* Made by wycheproof.py of Project Wycheproof's vectors (Apache-2.0). */")
    print("static const struct x25519_case x25519_cases[] = {")
    for _, t in cases(directory, "x25519"):
        row(t["tcId"], t["private"], t["public"], t["shared"])
    print("};\nstatic const struct aead_case chachapoly_cases[] = {")
    for g, t in cases(directory, "chacha20_poly1305"):
        if g["ivSize"] == 96 and t["iv"].startswith("00000000"):
            row(t["tcId"], t["key"], t["iv"], t["aad"], t["msg"], t["ct"] + t["tag"],
                int(t["result"] == "valid"))
    print("};\nstatic const struct aead_case xchachapoly_cases[] = {")
    for g, t in cases(directory, "xchacha20_poly1305"):
        if g["ivSize"] == 192:
            row(t["tcId"], t["key"], t["iv"], t["aad"], t["msg"], t["ct"] + t["tag"],
                int(t["result"] == "valid"))
    print("};")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
