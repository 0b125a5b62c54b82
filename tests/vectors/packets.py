#!/usr/bin/python3
"""WireGuard's four messages, made from the paper with Python's own primitives: nothing here is shared
with the engine, which has to make and read the same bytes.

    packets.py > packets.inc       a table for tests/unit/wg/test_packets.c
    packets.py --check FILE        exit status 1 when FILE is not what this makes

Every value is fixed: static keys, ephemerals, indices, stamps, cookies. (WireGuard paper, section 5.4.)
"""

import hashlib
import hmac
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"


def fixed(label):
    return hashlib.sha256(b"guardmount packets: " + label.encode()).digest()


def blake2s(data, key=b"", size=32):
    return hashlib.blake2s(data, key=key, digest_size=size).digest()


def kdf(key, data, n):
    def mac(k, m):
        return hmac.new(k, m, lambda d=b"": hashlib.blake2s(d)).digest()
    secret, out, last = mac(key, data), [], b""
    for i in range(1, n + 1):
        last = mac(secret, last + bytes([i]))
        out.append(last)
    return out


def aead(key, counter, plain, ad):
    return ChaCha20Poly1305(key).encrypt(struct.pack("<4xQ", counter), plain, ad)


def hchacha20(key, nonce):
    def rotl(v, n):
        return (v << n | v >> 32 - n) & 0xffffffff
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for i, j, k, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[i] = (x[i] + x[j]) & 0xffffffff
                x[k] = rotl(x[k] ^ x[i], n)
    return struct.pack("<8I", *x[:4], *x[12:])


def xaead(key, nonce, plain, ad):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, ad)


class Key:
    def __init__(self, label):
        raw = bytearray(fixed(label))
        raw[0] &= 248
        raw[31] = raw[31] & 127 | 64
        self.raw = bytes(raw)
        self._key = X25519PrivateKey.from_private_bytes(self.raw)
        self.public = self._key.public_key().public_bytes_raw() \
            if hasattr(self._key.public_key(), "public_bytes_raw") else self._old_public()

    def _old_public(self):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def dh(self, public):
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))


def macs(message, responder_public, cookie=None):
    message += blake2s(message, blake2s(b"mac1----" + responder_public), 16)
    return message + (blake2s(message, cookie, 16) if cookie else bytes(16))


def handshake(name, psk, stamp, sender, responder_index, cookie=None):
    i, r = Key("initiator"), Key("responder")
    ei, er = Key(name + " ephemeral i"), Key(name + " ephemeral r")

    ck = blake2s(CONSTRUCTION)
    h = blake2s(blake2s(ck + IDENTIFIER) + r.public)
    ck, = kdf(ck, ei.public, 1)
    h = blake2s(h + ei.public)
    ck, k = kdf(ck, ei.dh(r.public), 2)
    static = aead(k, 0, i.public, h)
    h = blake2s(h + static)
    ck, k = kdf(ck, i.dh(r.public), 2)
    timestamp = aead(k, 0, stamp, h)
    h = blake2s(h + timestamp)
    initiation = macs(struct.pack("<II", 1, sender) + ei.public + static + timestamp, r.public, cookie)

    ck, = kdf(ck, er.public, 1)
    h = blake2s(h + er.public)
    ck, = kdf(ck, er.dh(ei.public), 1)
    ck, = kdf(ck, er.dh(i.public), 1)
    ck, tau, k = kdf(ck, psk, 3)
    h = blake2s(h + tau)
    empty = aead(k, 0, b"", h)
    response = macs(struct.pack("<III", 2, responder_index, sender) + er.public + empty, i.public)
    up, down = kdf(ck, b"", 2)
    return {"ei": ei, "er": er, "psk": psk, "stamp": stamp, "sender": sender,
            "responder": responder_index, "initiation": initiation, "response": response,
            "up": up, "down": down, "cookie": cookie or b""}


def data(key, receiver, counter, packet):
    padded = packet + bytes(-len(packet) % 16)
    return struct.pack("<IIQ", 4, receiver, counter) + aead(key, counter, padded, b"")


def cookie_reply(initiation, cookie):
    nonce = fixed("cookie nonce")[:24]
    key = blake2s(b"cookie--" + Key("responder").public)
    mac1 = initiation[-32:-16]
    return struct.pack("<I", 3) + initiation[4:8] + nonce + xaead(key, nonce, cookie, mac1), nonce


def main(out):
    def literal(b):
        return '"' + b.hex() + '"'
    print("/* Made by packets.py. */", file=out)
    for name in ("initiator", "responder"):
        print(f"#define {name.upper()}_PRIVATE {literal(Key(name).raw)}\n"
              f"#define {name.upper()}_PUBLIC {literal(Key(name).public)}", file=out)
    cookie = fixed("cookie")[:16]
    shakes = [
        handshake("plain", bytes(32), struct.pack(">QI", 0x400000000000000a + 1700000000, 0x1000000),
                  0x01020304, 0xfffefdfc),
        handshake("psk", fixed("psk"), struct.pack(">QI", 0x400000000000000a + 1800000000, 0),
                  0, 0xffffffff),
        handshake("mac2", fixed("psk"), struct.pack(">QI", 0x400000000000000a + 1800000001, 0x3000000),
                  0x80000000, 1, cookie),
    ]
    print("static const struct shake_case shake_cases[] = {", file=out)
    for s in shakes:
        fields = [s["ei"].raw, s["er"].raw, s["psk"], s["stamp"], s["cookie"], s["initiation"],
                  s["response"], s["up"], s["down"]]
        print(f"    {{{s['sender']:#x}, {s['responder']:#x},\n     "
              + ",\n     ".join(map(literal, fields)) + "},", file=out)
    print("};", file=out)
    reply, nonce = cookie_reply(shakes[0]["initiation"], cookie)
    print(f"#define COOKIE {literal(cookie)}\n#define COOKIE_NONCE {literal(nonce)}\n"
          f"#define COOKIE_REPLY {literal(reply)}", file=out)
    print("static const struct data_case data_cases[] = {", file=out)
    for key, receiver, counter, size in (
            ("up", 0xfffefdfc, 0, 0), ("up", 0xfffefdfc, 1, 1), ("up", 0xfffefdfc, 2, 15),
            ("up", 0xfffefdfc, 3, 16), ("up", 0xfffefdfc, 4, 17), ("down", 0x01020304, 0, 84),
            ("down", 0x01020304, 0x0012ab3c10000007, 600),
            ("down", 0x01020304, (1 << 60) - 1, 1420)):
        packet = bytes((7 * n + size) & 255 for n in range(size))
        print(f"    {{{int(key == 'up')}, {receiver:#x}, {counter:#x}, {size},\n     "
              f"{literal(data(shakes[0][key], receiver, counter, packet))}}},", file=out)
    print("};", file=out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"] and len(sys.argv) == 3:
        import io
        made = io.StringIO()
        main(made)
        sys.exit(made.getvalue() != open(sys.argv[2], encoding="ascii").read())
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    main(sys.stdout)
