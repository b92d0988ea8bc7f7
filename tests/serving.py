"""`headlessdns serve` as a process of a test's own, and questions to it read by dnspython."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.peers.process import Process

if TYPE_CHECKING:
    from types import TracebackType

_ANSWERS = re.compile(r"answers \S+ on (?:[\w.:\[\]]+:(\d+)(?:, )?)+ \(UDP and TCP\)")
_HTTP = re.compile(r"metrics and health on (http://\S+)")


class Answering:
    """Something on loopback that answers DNS.

    Attributes:
        port: Of UDP and TCP.
    """

    port: int

    def query(self, name: str, qtype: str = "A", *, tcp: bool = False, timeout_s: float = 3) -> dns.message.Message:
        """Return the response to a question with EDNS."""
        query = dns.message.make_query(name, qtype, use_edns=0, payload=1232)
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, "127.0.0.1", port=self.port, timeout=timeout_s)

    def ask(self, name: str, qtype: str = "A", *, tcp: bool = False) -> tuple[str, list[str]]:
        """Return the RCODE and the records' data, sorted, as text."""
        response = self.query(name, qtype, tcp=tcp)
        return dns.rcode.to_text(response.rcode()), sorted(str(one) for rrset in response.answer for one in rrset)

    def extended_errors(self, name: str, qtype: str = "A") -> list[int]:
        """Return the codes of the extended errors (RFC 8914) in a response."""
        return [int(option.code) for option in self.query(name, qtype).options if option.otype == 15]


class Serve(Answering):
    """A server that lives as long as the ``with`` block.

    Args:
        flags: Flags of `headlessdns serve` beside ``--listen`` (127.0.0.1, any port), ``--http`` and ``--log``.
        http: Whether it serves metrics and health.

    Raises:
        ProcessError: It did not start; the text closes with the end of its log.
    """

    def __init__(self, *flags: str | Path, http: bool = False, listen: str = "127.0.0.1:0") -> None:
        self._flags = [str(flag) for flag in flags]
        self._http = "127.0.0.1:0" if http else "off"
        self._listen = listen

    def __enter__(self) -> Serve:
        self.folder = Path(tempfile.mkdtemp(prefix="headlessdns-serve-"))
        self.log = self.folder / "log"
        command = [sys.executable, "-m", "headlessdns", "serve", "--listen", self._listen, "--http", self._http]
        self.process = Process([*command, "--log", "text", "--lameduck", "0", *self._flags], self.log)
        try:
            self.process.start()
            self.process.wait_ready(lambda: _ANSWERS.search(self.log.read_text()), deadline_s=30)
        except BaseException:
            self._stop()
            raise
        text = self.log.read_text()
        found = _ANSWERS.search(text)
        assert found
        self.port = int(found[1])
        url = _HTTP.search(text)
        self.url = url[1] if url else ""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            error.add_note(self.process.log_tail())
        self._stop()

    def _stop(self) -> None:
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
