"""``headlessdns serve`` as its own process, with whatever flags, and how to ask it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import dns.message
import dns.query

from tests.conftest import skip_or_fail
from tests.peers.process import wait_until
from tests.serving import Serve

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
WEB_0 = "web-0.nginx.default.svc.cluster.local"
WEB_0_ADDRESS = "10.244.1.10"
_ADDRESS = re.compile(r"(?:\[([0-9a-f:]+)\]|([0-9.]+)):(\d+)")


def environment() -> dict[str, str]:
    """Return this process' environment without settings of a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADLESSDNS_")}


def command(*flags: str) -> list[str]:
    """Return the command line of a server that logs text and leaves at once; *flags* may say otherwise."""
    start = [sys.executable, "-m", "headlessdns", "serve", "--manifests", str(EXAMPLES)]
    return [*start, "--http", "off", "--lameduck", "0", "--log", "text", *flags]


class Serving(Serve):
    """A running server.

    Attributes:
        addresses: Where it answers: host and port, in the order of the flags.
    """

    def __init__(self, *flags: str | Path, manifests: Path = EXAMPLES, listen: str = "127.0.0.1:0") -> None:
        """Prepare a server of *manifests*; a further ``--listen`` may be among *flags*."""
        super().__init__("--manifests", manifests, *flags, listen=listen)
        self.addresses: list[tuple[str, int]] = []

    def __enter__(self) -> Serving:
        super().__enter__()
        found = re.search(r"answers \S+ on (.*) \(UDP and TCP\)", self.logged())
        assert found
        self.addresses = [(six or four, int(port)) for six, four, port in _ADDRESS.findall(found[1])]
        return self

    def logged(self) -> str:
        """Return all that it logged."""
        return self.log.read_text()

    @property
    def address(self) -> tuple[str, int]:
        """The first address."""
        return self.addresses[0]

    def workers(self, kind: str = "") -> list[int]:
        """Return the process ids of the workers that run, ``udp`` or ``stream`` or all."""
        return [pid for pid in children(self.process.pid) if f"headlessdns.server.{kind}" in command_line(pid)]

    def udp(self, qname: str = WEB_0, qtype: str = "A", timeout_s: float = 5, **more: object) -> dns.message.Message:
        """Return the response over UDP from a port of its own."""
        host, port = self.address
        return dns.query.udp(dns.message.make_query(qname, qtype, **more), host, timeout_s, port)  # type: ignore[arg-type]

    def tcp(self, qname: str = WEB_0, qtype: str = "A", timeout_s: float = 5, **more: object) -> dns.message.Message:
        """Return the response over a TCP connection of its own."""
        host, port = self.address
        return dns.query.tcp(dns.message.make_query(qname, qtype, **more), host, timeout_s, port)  # type: ignore[arg-type]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Return a TCP connection from the address *source*."""
        return socket.create_connection(self.address, 5, source_address=(source, 0))

    def await_log(self, text: str, deadline_s: float = 10, count: int = 1) -> None:
        """Wait until *text* has been logged *count* times."""
        wait_until(lambda: self.logged().count(text) >= count, f"{text!r} in the log:\n{self.logged()}", deadline_s)


def require_address(host: str) -> None:
    """Skip the test where *host* is no address of this machine."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        skip_or_fail(f"{host} is no address here: ip address add {host} dev lo, net.ipv6.conf.lo.disable_ipv6=0")


def children(pid: int) -> list[int]:
    """Return the children of the process *pid*, zombies included."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> str:
    """Return how the process *pid* was started, nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def has_ended(pid: int) -> bool:
    """Tell whether the process *pid* is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def descriptors(pid: int) -> int:
    """Return how many descriptors the process *pid* has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to one process."""
    os.kill(pid, number)


def read_message(stream: socket.socket) -> bytes:
    """Return the next message on a TCP connection.

    Raises:
        EOFError: The server has closed it.
    """
    return read_exactly(stream, int.from_bytes(read_exactly(stream, 2), "big"))


def read_exactly(stream: socket.socket, octets: int) -> bytes:
    data = b""
    while len(data) < octets:
        more = stream.recv(octets - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def framed(message: bytes) -> bytes:
    """Return *message* as it goes over TCP (RFC 1035 §4.2.2)."""
    return len(message).to_bytes(2, "big") + message
