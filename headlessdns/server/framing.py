"""Frames between the parent and its workers: a length, a kind, a msgpack payload. Pure.

A frame is 4 octets of length (of what follows), 1 octet of kind, and the payload. One event of the cluster is one
`DELTA`, so no answer is half of a change.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from headlessdns.metrics.counters import Report
from headlessdns.wire.answers import Delta
from headlessdns.wire.respond import Identity

_HEAD = struct.Struct("!IB")


class FrameKind(IntEnum):
    """What a frame carries."""

    SETUP = 0
    DELTA = 1
    COMPLETE = 2
    REPORT = 3


class Setup(msgspec.Struct, frozen=True):
    """What a worker has to know before its table.

    Attributes:
        identity: What the server tells of itself.
        addresses: Where to answer: host, port.
        listener_fds: Inherited listening sockets, for the stream worker.
        resolver: Host and port to ask for CNAME targets outside our zones, or None.
    """

    identity: Identity
    addresses: tuple[tuple[str, int], ...]
    listener_fds: tuple[int, ...] = ()
    resolver: tuple[str, int] | None = None


_encoder = msgspec.msgpack.Encoder()
decode_delta = msgspec.msgpack.Decoder(Delta).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
decode_setup = msgspec.msgpack.Decoder(Setup).decode


def encode(kind: FrameKind, payload: object = None) -> bytes:
    """Return *payload* as one frame."""
    body = b"" if payload is None else _encoder.encode(payload)
    return _HEAD.pack(len(body) + 1, kind) + body


class FrameReader:
    """Octets in, whole frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take in *data* and return the frames that are whole now, as kind and payload."""
        self._buffer += data
        frames = []
        position = 0
        while len(self._buffer) - position >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._buffer, position)
            end = position + 4 + length
            if end > len(self._buffer):
                break
            frames.append((kind, bytes(memoryview(self._buffer)[position + _HEAD.size : end])))
            position = end
        del self._buffer[:position]
        return frames
