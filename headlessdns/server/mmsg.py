"""Many datagrams per system call: recvmmsg and sendmmsg through ctypes (recvmmsg(2), sendmmsg(2); Linux).

All memory is laid out once. A batch is received into slots, and each response goes out of a slot with the address, and
for a wildcard socket the control message, of the query that it answers: so the reply comes from the address that was
asked. I/O: the socket that it is given.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys

BATCH = 64  # datagrams per system call
IN_OCTETS = 4096  # a longer query is cut off here and so broken
OUT_OCTETS = 1232  # no response over UDP is longer
_ADDRESS_OCTETS = 28  # sockaddr_in6, the larger one
_CONTROL_OCTETS = 64  # room for one pktinfo
IS_AVAILABLE = sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("length", ctypes.c_uint32))


# Where a field stands in an array of headers, counted in fields of its own width.
_HEADER_WORDS = ctypes.sizeof(_Mmsghdr) // 8
_LENGTH_AT = _Mmsghdr.length.offset // 4
_NAME_AT = _Msghdr.name.offset // 8
_CONTROL_AT = _Msghdr.control.offset // 8
_CONTROL_LENGTH_AT = _Msghdr.control_length.offset // 8
_PKTINFO_AT = 16  # behind cmsghdr: in_pktinfo begins with the interface, in6_pktinfo ends with it
_ANY_INTERFACE = bytes(4)
_MSG_DONTWAIT = socket.MSG_DONTWAIT


class DatagramBatch:
    """Slots for the datagrams of one socket."""

    def __init__(self, sock: socket.socket, *, is_wildcard: bool) -> None:
        """Lay out the memory.

        Args:
            sock: A bound UDP socket; for a wildcard one, with pktinfo switched on.
            is_wildcard: Whether the local address of each query has to be kept.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg, self._sendmmsg = libc.recvmmsg, libc.sendmmsg
        self._fd = sock.fileno()
        self.is_wildcard = is_wildcard
        self.is_ipv6 = sock.family == socket.AF_INET6
        self._address_octets = 28 if self.is_ipv6 else 16
        self._in = ctypes.create_string_buffer(BATCH * IN_OCTETS)
        self._out = ctypes.create_string_buffer(BATCH * OUT_OCTETS)
        self._addresses = ctypes.create_string_buffer(BATCH * _ADDRESS_OCTETS)
        self._controls = ctypes.create_string_buffer(BATCH * _CONTROL_OCTETS)
        self._in_iovecs, self._out_iovecs = (_Iovec * BATCH)(), (_Iovec * BATCH)()
        self._in_headers, self._out_headers = (_Mmsghdr * BATCH)(), (_Mmsghdr * BATCH)()
        for index in range(BATCH):
            self._lay_out(index)
        self.received = memoryview(self._in).cast("B")
        self.to_send = memoryview(self._out).cast("B")
        self.addresses = memoryview(self._addresses).cast("B")
        self.controls = memoryview(self._controls).cast("B")
        self._in_words = memoryview(self._in_headers).cast("B").cast("Q")
        self._out_words = memoryview(self._out_headers).cast("B").cast("Q")
        self._in_lengths = memoryview(self._in_headers).cast("B").cast("I")
        self.out_lengths = memoryview(self._out_iovecs).cast("B").cast("Q")
        self._address_base = ctypes.addressof(self._addresses)
        self._control_base = ctypes.addressof(self._controls)
        self._filled = BATCH  # slots that the kernel wrote to

    def _lay_out(self, index: int) -> None:
        for buffer, octets, iovecs, headers in (
            (self._in, IN_OCTETS, self._in_iovecs, self._in_headers),
            (self._out, OUT_OCTETS, self._out_iovecs, self._out_headers),
        ):
            iovecs[index].base = ctypes.addressof(buffer) + index * octets
            iovecs[index].length = octets
            header = headers[index].header
            header.name = ctypes.addressof(self._addresses) + index * _ADDRESS_OCTETS
            header.name_length = self._address_octets
            header.iov = ctypes.addressof(iovecs) + index * ctypes.sizeof(_Iovec)
            header.iov_length = 1
            if self.is_wildcard:
                header.control = ctypes.addressof(self._controls) + index * _CONTROL_OCTETS
                header.control_length = _CONTROL_OCTETS

    def receive(self) -> list[int]:
        """Return the length in octets of each datagram that has come; slot i begins at ``i * IN_OCTETS``."""
        if self.is_wildcard:
            for index in range(self._filled):  # the kernel wrote how much it used
                self._in_words[index * _HEADER_WORDS + _CONTROL_LENGTH_AT] = _CONTROL_OCTETS
        count = self._recvmmsg(self._fd, self._in_headers, BATCH, _MSG_DONTWAIT, None)
        self._filled = max(count, 1)  # `send_later` uses the first slot
        if count <= 0:
            return []  # nothing there, or an ICMP error of an earlier response: nobody to tell
        return self._in_lengths[_LENGTH_AT : count * 2 * _HEADER_WORDS : 2 * _HEADER_WORDS].tolist()

    def answer_from(self, out_slot: int, in_slot: int) -> None:
        """Send what is in *out_slot* to where the query in *in_slot* came from, from the address that was asked."""
        self._out_words[out_slot * _HEADER_WORDS + _NAME_AT] = self._address_base + in_slot * _ADDRESS_OCTETS
        if self.is_wildcard:
            control = in_slot * _CONTROL_OCTETS
            pktinfo = control + _PKTINFO_AT
            # Let the route choose the interface: only the source address is to be kept. A link-local one is of
            # its interface (RFC 4291 §2.5.6).
            if not self.is_ipv6:
                self.controls[pktinfo : pktinfo + 4] = _ANY_INTERFACE
            elif not (self.controls[pktinfo] == 0xFE and self.controls[pktinfo + 1] & 0xC0 == 0x80):
                self.controls[pktinfo + 16 : pktinfo + 20] = _ANY_INTERFACE
            self._out_words[out_slot * _HEADER_WORDS + _CONTROL_AT] = self._control_base + control
            self._out_words[out_slot * _HEADER_WORDS + _CONTROL_LENGTH_AT] = self._in_words[
                in_slot * _HEADER_WORDS + _CONTROL_LENGTH_AT
            ]

    def client(self, in_slot: int) -> bytes:
        """Return the packed address of who sent the query in *in_slot*."""
        at = in_slot * _ADDRESS_OCTETS
        return bytes(self.addresses[at + 8 : at + 24] if self.is_ipv6 else self.addresses[at + 4 : at + 8])

    def envelope(self, in_slot: int) -> tuple[bytes, bytes]:
        """Return a copy of the socket address and control message of *in_slot*, for a response that comes later."""
        at, control = in_slot * _ADDRESS_OCTETS, in_slot * _CONTROL_OCTETS
        used = self._in_words[in_slot * _HEADER_WORDS + _CONTROL_LENGTH_AT] if self.is_wildcard else 0
        return bytes(self.addresses[at : at + self._address_octets]), bytes(self.controls[control : control + used])

    def send_later(self, envelope: tuple[bytes, bytes], response: bytes) -> int:
        """Send *response* to an `envelope` and return how many were lost; for use between batches."""
        address, control = envelope
        self.addresses[: len(address)] = address
        self.controls[: len(control)] = control
        self._in_words[_CONTROL_LENGTH_AT] = len(control)
        self.to_send[: len(response)] = response
        self.out_lengths[1] = len(response)
        self.answer_from(0, 0)
        return self.send(1)

    def send(self, count: int) -> int:
        """Send the first *count* out slots and return how many were lost."""
        sent = 0
        lost = 0
        while sent < count:
            offset = sent * ctypes.sizeof(_Mmsghdr)
            done = self._sendmmsg(self._fd, ctypes.byref(self._out_headers, offset), count - sent, 0)
            if done > 0:
                sent += done
                continue
            if ctypes.get_errno() == errno.EINTR:
                continue
            sent += 1  # the kernel refuses this one (no route, a full queue); the others go on
            lost += 1
        return lost


def last_error() -> str:
    """Return the text of the last error of a call."""
    return os.strerror(ctypes.get_errno())
