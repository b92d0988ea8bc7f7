"""headlessdns with a real CoreDNS in front of it, configured by a block that we ship.

Three servers: ours, the CoreDNS that clients ask, and one more CoreDNS that stands for the world outside.
"""

from __future__ import annotations

import socket
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tests.coredns.server import CoreDNS
from tests.peers.process import free_port, wait_until
from tests.serving import Serve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

BLOCKS = Path(__file__).parents[2] / "deploy" / "coredns"
PATIENCE_S = 3.0  # what a client may have to wait, whatever happens to us

# The rest of the world: one name, one address that leads back to it, and nothing else.
OUTSIDE = """\
.:$port {
    bind 127.0.0.1
    template IN A www.example.org {
        answer "{{ .Name }} 60 IN A 192.0.2.80"
    }
    template IN PTR 80.2.0.192.in-addr.arpa {
        answer "{{ .Name }} 60 IN PTR www.example.org."
    }
    template ANY ANY www.example.org {
        rcode NOERROR
    }
    template ANY ANY {
        rcode NXDOMAIN
    }
}
"""


def shipped(file: str, *, ours: int, outside: int, metrics: int, kubeconfig: Path) -> str:
    """Return the block *file*, in which nothing is changed but ports, addresses and how the cluster is reached.

    Args:
        file: Its name without the ending.
        ours: Our port on 127.0.0.1.
        outside: The port of the node's resolver.
        metrics: Where CoreDNS is to serve its metrics.
        kubeconfig: For CoreDNS' own view of the cluster.
    """
    text = (BLOCKS / f"{file}.Corefile").read_text()
    changes = {
        "10.96.0.53": f"127.0.0.1:{ours}",
        ":53 ": ":$port ",
        "    prometheus :9153": f"    bind 127.0.0.1\n    prometheus 127.0.0.1:{metrics}",
    }
    if "kubernetes" in text:
        changes |= {
            ":5355": f":{free_port()}",
            "/etc/resolv.conf": f"127.0.0.1:{outside}",
            "        pods insecure\n": f"        pods insecure\n        kubeconfig {kubeconfig}\n",
        }
    for old, new in changes.items():
        assert old in text, f"{file}.Corefile has no {old!r} any more"
        text = text.replace(old, new)
    return text


class Front:
    """The three servers, as long as the ``with`` block lives; ours can be killed and started again on its port.

    Args:
        file: The block that CoreDNS gets.
        zone: The zone that our server is started with.
        kubeconfig: The cluster that ours, and CoreDNS where the block says so, reads.
        flags: Further flags of our server.
    """

    def __init__(self, file: str, zone: str, kubeconfig: Path, *flags: str) -> None:
        self.zone = zone
        self.port = free_port()
        self._kubeconfig = kubeconfig
        self._flags = flags
        self._outside = CoreDNS(OUTSIDE)
        self._metrics = free_port()
        self.coredns = CoreDNS(
            shipped(file, ours=self.port, outside=self._outside.port, metrics=self._metrics, kubeconfig=kubeconfig)
        )
        self._ours = ExitStack()

    def __enter__(self) -> Front:
        self._servers = ExitStack()
        try:
            self._servers.enter_context(self._outside)
            self._servers.callback(self.stop)
            self.start()
            self._servers.enter_context(self.coredns)
        except BaseException:
            self._servers.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.__exit__(kind, error, trace)

    def start(self, kubeconfig: Path | None = None) -> None:
        """Start our server, which reads the cluster of *kubeconfig*."""
        flags = ["--zone", self.zone, "--resolver", f"127.0.0.1:{self._outside.port}", *self._flags]
        flags += ["--kubeconfig", str(kubeconfig or self._kubeconfig)]
        self.serve = self._ours.enter_context(Serve(*flags, listen=f"127.0.0.1:{self.port}"))

    def stop(self) -> None:
        """End our server, if it runs."""
        self._ours.close()

    def kill(self) -> None:
        """Kill our server as the kernel would for want of memory; its workers have no parent then and leave."""
        self.serve.process.kill()

    def wait_port_free(self) -> None:
        """Wait until none of our processes holds the port."""

        def is_free() -> bool:
            with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                try:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    stream.bind(("127.0.0.1", self.port))
                    datagrams.bind(("127.0.0.1", self.port))
                except OSError:
                    return False
                return True

        wait_until(is_free, f"port {self.port} to be free", deadline_s=5)

    def query(
        self,
        name: str,
        qtype: str,
        *,
        tcp: bool = False,
        payload: int | None = 1232,
        options: Sequence[dns.edns.Option] = (),
    ) -> dns.message.Message:
        """Return what CoreDNS says to a client in time; *payload* None is a client without EDNS."""
        if payload is None:
            query = dns.message.make_query(name, qtype, use_edns=False)
        else:
            query = dns.message.make_query(name, qtype, use_edns=0, payload=payload, options=list(options))
        return self.coredns.query(query, PATIENCE_S, tcp)

    def ask(self, name: str, qtype: str, *, tcp: bool = False) -> tuple[str, list[str]]:
        """Return RCODE and records, sorted, of what CoreDNS says in time."""
        return said(self.query(name, qtype, tcp=tcp))

    def metric(self, name: str) -> float:
        """Return the sum of CoreDNS' counters called *name*, whatever their labels."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self._metrics}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def ours_says(self, name: str, qtype: str) -> tuple[str, list[int]]:
        """Return RCODE and extended errors of what our server says, past CoreDNS."""
        response = self.serve.query(name, qtype)
        return dns.rcode.to_text(response.rcode()), [
            int(option.code) for option in response.options if isinstance(option, dns.edns.EDEOption)
        ]


def said(response: dns.message.Message) -> tuple[str, list[str]]:
    """Return RCODE, and the records of the answer section without owner and TTL, sorted."""
    records = [f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata}" for rrset in response.answer for rdata in rrset]
    return dns.rcode.to_text(response.rcode()), sorted(records)


def weights(response: dns.message.Message) -> set[str]:
    """Return the weights of the SRV records in *response*."""
    return {record.split()[2] for record in said(response)[1] if record.startswith("SRV ")}


def timed(front: Front, name: str, qtype: str, tcp: bool) -> tuple[str, list[str], float]:
    """Return RCODE and records, sorted, of what CoreDNS says, and after how many seconds; silence is an RCODE here."""
    started_s = time.monotonic()
    try:
        rcode, records = front.ask(name, qtype, tcp=tcp)
    except (dns.exception.Timeout, OSError, EOFError) as error:
        rcode, records = f"silence: {error!r}", []
    return rcode, records, time.monotonic() - started_s
