"""How far we are from what the machine allows: the same path without cryptography, and what the
AEAD in use takes for the bytes on one core."""

from figures import number
from net import MTU
from netns import LabError, run
from programs import BIN_DIR, Program, helper

NO_CRYPTO = "no-crypto"
TCP_PAYLOAD = MTU - 20 - 20 - 12                # IPv4, TCP, its timestamps
PACKET = "1424"                                 # what such a packet is padded to


def null_hub():
    """It understands only itself: it is its own client."""
    return Program(NO_CRYPTO, (helper("bench-null-hub"),))


def aead_limit():
    """{"name", "ns": {length: {"seal_single", "open_single", "seal_batch", "open_batch"}}}"""
    name, *lines = run([helper("bench-aead")], timeout=60).splitlines()
    columns = ("seal_single", "open_single", "seal_batch", "open_batch")
    try:
        return {"name": name, "ns": {length: dict(zip(columns, map(float, values), strict=True))
                                     for length, *values in map(str.split, lines)}}
    except ValueError:
        raise LabError(f"bench-aead in {BIN_DIR} says: {' '.join(lines)}") from None


def rows(table, aead, ours):
    """For each TCP figure that both we and the path without cryptography have. Acknowledgements are
    left out of the AEAD's part: they are few, and small."""
    found = []
    for row in table:
        if not row["key"].endswith(".hub_s_per_gb") or not {ours, NO_CRYPTO} <= set(row["of"]):
            continue
        direction = "open_batch" if "_up" in row["key"] else "seal_batch"
        path = row["of"][NO_CRYPTO]["median"]
        crypto = aead["ns"][PACKET][direction] / TCP_PAYLOAD
        have = row["of"][ours]["median"]
        found.append({"layout": row["layout"], "title": row["title"], "path": path, "aead": crypto,
                      "ours": have, "ratio": have / (path + crypto)})
    return found


def text(found, aead):
    lines = [f"AEAD in use: {aead['name']}; ns for a packet on one core, alone / in batches:"]
    for length, ns in aead["ns"].items():
        lines.append(f"  {length:>5} B  seal {number(ns['seal_single'])} / "
                     f"{number(ns['seal_batch'])}   open {number(ns['open_single'])} / "
                     f"{number(ns['open_batch'])}")
    if found:
        lines.append("hub CPU in s/GB: path without cryptography + AEAD = ceiling; ours, ratio")
    for f in found:
        lines.append(f"  {f['layout']:9} {f['title']:32} {number(f['path'])} + "
                     f"{number(f['aead'])} = {number(f['path'] + f['aead'])}; "
                     f"{number(f['ours'])}, {f['ratio']:.2f}")
    return "\n".join(lines) + "\n"
