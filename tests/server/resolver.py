"""A small resolver that says what a script tells it to, over UDP and TCP on one port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.peers.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

Script = "Callable[[Asked], list[bytes]]"


class Asked(NamedTuple):
    """A query that came."""

    message: dns.message.Message
    is_stream: bool

    @property
    def qname(self) -> str:
        return self.message.question[0].name.to_text(omit_final_dot=True)

    @property
    def question(self) -> str:
        """Name and type, as ``dig`` takes them, and ``TCP`` where it came over TCP."""
        qtype = dns.rdatatype.to_text(self.message.question[0].rdtype)
        return " ".join([self.qname, qtype] + ["TCP"] * self.is_stream)

    def response(self, *lines: str, rcode: str = "NOERROR", tc: bool = False) -> bytes:
        """Return a response whose answer section is *lines* as in a zone file."""
        response = dns.message.make_response(self.message, recursion_available=True)
        response.set_rcode(dns.rcode.from_text(rcode))
        for line in lines:
            owner, ttl, qclass, qtype, rdata = line.split(None, 4)
            response.answer.append(dns.rrset.from_text(owner, int(ttl), qclass, qtype, rdata))
        if tc:
            response.flags |= dns.flags.TC
        return response.to_wire(max_size=65535)


class ScriptedResolver:
    """Answers in a thread for as long as the ``with`` block lasts.

    Attributes:
        address: Host and port.
        asked: Each `Asked.question` so far.
    """

    def __init__(self, script: Callable[[Asked], list[bytes]], delay_s: float = 0) -> None:
        """Prepare.

        Args:
            script: Gives the messages that answer a query; none is silence.
            delay_s: Before each answer.
        """
        self.address = ("127.0.0.1", free_port())
        self.asked: list[str] = []
        self._script = script
        self._delay_s = delay_s
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="scripted resolver")

    def __enter__(self) -> ScriptedResolver:
        self._datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagram.bind(self.address)
        self._listener = socket.create_server(self.address)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waker.close()
        self._thread.join(10)
        for one in (self._datagram, self._listener, self._wake):
            one.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._datagram, self._listener, self._wake):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wake in ready:
                    return
                if self._datagram in ready:
                    self._answer_datagram()
                if self._listener in ready:
                    self._answer_stream()

    def _answers(self, message: bytes, is_stream: bool) -> list[bytes]:
        asked = Asked(dns.message.from_wire(message), is_stream)
        self.asked.append(asked.question)
        time.sleep(self._delay_s)
        return self._script(asked)

    def _answer_datagram(self) -> None:
        message, client = self._datagram.recvfrom(65535)
        for answer in self._answers(message, is_stream=False):
            self._datagram.sendto(answer, client)

    def _answer_stream(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(2)
            length = int.from_bytes(connection.recv(2), "big")
            for answer in self._answers(connection.recv(length), is_stream=True):
                connection.sendall(len(answer).to_bytes(2, "big") + answer)
