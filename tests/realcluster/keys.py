"""A fresh key for signing ServiceAccount tokens, without a cryptography library or program.

The curve is P-256 (FIPS 186-5, SP 800-186 §3.2.1.3). The arithmetic leaks the key through its timing, which is of no
matter for a key that lives as long as a test. Pure but for the randomness.
"""

from __future__ import annotations

import base64
import secrets
import textwrap

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

Point = tuple[int, int]

# DER of SubjectPublicKeyInfo (RFC 5480 §2) and ECPrivateKey (RFC 5915 §3) for this curve, up to the octets of the
# keys: all lengths are fixed, so there is nothing to compute.
PUBLIC_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
PRIVATE_PREFIX = bytes.fromhex("30770201010420")
PRIVATE_MIDDLE = bytes.fromhex("a00a06082a8648ce3d030107a144034200")


def add(a: Point | None, b: Point | None) -> Point | None:
    """Return the sum of two points of the curve; None is the point at infinity."""
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    rise, run = (3 * a[0] * a[0] - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(factor: int, point: Point) -> Point:
    """Return *point* added *factor* times; *factor* is from 1 to the order less 1."""
    total: Point | None = None
    double: Point | None = point
    while factor:
        if factor & 1:
            total = add(total, double)
        double = add(double, double)
        factor >>= 1
    assert total
    return total


def pem(label: str, der: bytes) -> str:
    """Return *der* as text (RFC 7468 §2: lines of 64 characters)."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def signing_key() -> tuple[str, str]:
    """Return a new private key and its public key, both PEM."""
    private = 1 + secrets.randbelow(ORDER - 1)
    x, y = multiply(private, GENERATOR)
    point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    private_der = PRIVATE_PREFIX + private.to_bytes(32, "big") + PRIVATE_MIDDLE + point
    return pem("EC PRIVATE KEY", private_der), pem("PUBLIC KEY", PUBLIC_PREFIX + point)
