"""A CoreDNS with a Corefile of a test's choice, on loopback."""

from __future__ import annotations

import shutil
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.query

from tests.peers import find
from tests.peers.process import Process, free_port

if TYPE_CHECKING:
    from types import TracebackType

    import dns.name

# CoreDNS as a peer: it reads the same API server as we do and answers with all that its plugin serves.
PEER = """\
cluster.local:$port in-addr.arpa:$port ip6.arpa:$port {
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig $kubeconfig
        pods verified
        ttl 5
    }
}
"""


class CoreDNS:
    """A CoreDNS that lives as long as the ``with`` block.

    Args:
        corefile: The Corefile, in which ``$NAME`` stands for a value; ``$port`` is where this server listens.
        values: The values of the other names.

    Raises:
        PeerMissingError: CoreDNS is not on this machine.
        ProcessError: It did not answer; the text closes with the end of its log.
    """

    def __init__(self, corefile: str, **values: object) -> None:
        self._program = find("coredns")
        self.port = free_port()
        self.corefile = string.Template(corefile).substitute(values, port=self.port)

    def __enter__(self) -> CoreDNS:
        self.folder = Path(tempfile.mkdtemp(prefix="headlessdns-coredns-"))
        file = self.folder / "Corefile"
        file.write_text(self.corefile)
        self.process = Process([self._program, "-conf", file], self.folder / "coredns.log")
        try:
            self.process.start()
            self.process.wait_ready(self.answers, deadline_s=30)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            error.add_note(self.process.log_tail())
        self._stop()

    def _stop(self) -> None:
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Whether any response comes, be it a refusal."""
        try:
            self.query(dns.message.make_query(".", "NS"), timeout_s=0.2)
        except (OSError, dns.exception.Timeout):
            return False
        return True

    def query(self, query: dns.message.Message, timeout_s: float = 5, tcp: bool = False) -> dns.message.Message:
        """Return the response to *query*, whatever it says; a truncated one stays so."""
        send = dns.query.tcp if tcp else dns.query.udp
        return send(query, "127.0.0.1", port=self.port, timeout=timeout_s)
