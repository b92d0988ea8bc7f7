"""One member: serves what it knows over HTTP, and asks its peers for what they know, again and again.

POST /add     count one more: 204, or 503 while it is not ready
GET /total    the total: {"total": 7}
GET /counts   what peers ask for: {"tally-0": 3, "tally-1": 4}
GET /ready    200 once it has heard from most of its peers, 503 before
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tally.counter import Counts, merged, total
from tally.discovery import DiscoveryError, Peer

ANSWER_WITHIN_S = 2.0

logger = logging.getLogger(__name__)


def where_it_listens(peer: Peer) -> tuple[str, int]:
    """Return the address that the DNS has given."""
    return peer.address, peer.port


class Member:
    """A member for as long as the context is open.

    Attributes:
        address: Where it listens.
    """

    def __init__(
        self,
        name: str,
        find_peers: Callable[[], list[Peer]],
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        locate: Callable[[Peer], tuple[str, int]] = where_it_listens,
        interval_s: float = 1.0,
    ) -> None:
        """Take the port; the context starts the member.

        Args:
            name: Under which it counts: its pod's name.
            find_peers: Says who is there, this member included; raises DiscoveryError where nobody can tell.
            listen: Where to listen; port 0 takes any.
            locate: Where to reach a peer. In a cluster that is what the DNS says; a test, in which the addresses of
                pods lead nowhere, has something else to say.
            interval_s: How often to ask the peers.
        """
        self.name = name
        self._find_peers = find_peers
        self._locate = locate
        self._interval_s = interval_s
        self._counts: Counts = {}
        self._lock = threading.Lock()
        self._is_ready = threading.Event()
        self._leave = threading.Event()
        self._server = ThreadingHTTPServer(listen, type("Handler", (_Handler,), {"member": self}))
        self._server.daemon_threads = True
        self.address: tuple[str, int] = self._server.server_address[:2]
        self._threads = [threading.Thread(target=self._server.serve_forever), threading.Thread(target=self._gossip)]

    def __enter__(self) -> Member:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    @property
    def is_ready(self) -> bool:
        """Whether it has heard from its peers, so that its total is worth something."""
        return self._is_ready.is_set()

    @property
    def counts(self) -> Counts:
        """What it knows."""
        with self._lock:
            return dict(self._counts)

    def add(self) -> bool:
        """Count one more; False where the member may not yet have its own old count back."""
        if not self.is_ready:
            return False
        with self._lock:
            self._counts[self.name] = self._counts.get(self.name, 0) + 1
        return True

    # Peers

    def _gossip(self) -> None:
        while not self._leave.is_set():
            self.ask_peers()
            self._leave.wait(self._interval_s)

    def ask_peers(self) -> None:
        """Ask each peer once, and be ready once most members are heard, this one counted; alone, that is at once.

        Not all of them: one that is lost must not keep the others from starting. And a ready member stays ready: what
        it knows is still true.
        """
        try:
            peers = [peer for peer in self._find_peers() if peer.name != self.name]
        except DiscoveryError as error:
            logger.warning("%s", error)
            return
        heard = 1 + sum(self._ask(peer) for peer in peers)
        if 2 * heard > 1 + len(peers):
            self._is_ready.set()

    def _ask(self, peer: Peer) -> bool:
        try:
            host, port = self._locate(peer)
            with urllib.request.urlopen(f"http://{host}:{port}/counts", timeout=ANSWER_WITHIN_S) as response:
                counts = json.load(response)
        except (OSError, ValueError) as error:
            logger.info("%s does not answer: %s", peer.name, error)
            return False
        with self._lock:
            self._counts = merged(self._counts, counts)
        return True


class _Handler(BaseHTTPRequestHandler):
    """What one member says."""

    member: Member

    def do_GET(self) -> None:  # the name that http.server looks for
        """Answer what is known."""
        if self.path == "/counts":
            self._say(200, self.member.counts)
        elif self.path == "/total":
            self._say(200, {"total": total(self.member.counts)})
        elif self.path == "/ready":
            self._say(200 if self.member.is_ready else 503, {"ready": self.member.is_ready})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Count."""
        if self.path != "/add":
            self.send_error(404)
        elif self.member.add():
            self._say(204)
        else:
            self.send_error(503, "has not heard from its peers yet")

    def _say(self, status: int, what: object = None) -> None:
        body = b"" if what is None else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet: peers ask every second."""
