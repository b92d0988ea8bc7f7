"""A UDP worker: a fresh interpreter with its own socket, its own table, and one loop.

It waits on socket and feed together and applies what the feed brings before it answers. It takes no signals: it leaves
when the feed ends. I/O: UDP sockets, the feed. Started as ``python -m headlessdns.server.udp FD``.
"""

from __future__ import annotations

import gc
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from headlessdns.metrics.counters import Counters
from headlessdns.server import sockets
from headlessdns.server.feed import REPORT_INTERVAL_S, Feed, ParentGoneError
from headlessdns.server.mmsg import IN_OCTETS, IS_AVAILABLE, OUT_OCTETS, DatagramBatch
from headlessdns.wire import edns
from headlessdns.wire.answers import Table, new_tally
from headlessdns.wire.parse import HEADER_OCTETS, question_end
from headlessdns.wire.respond import Chase, Chased, Client, Identity, respond

if TYPE_CHECKING:
    from headlessdns.server.background import BackgroundResolver

_OPT_OCTETS = 11  # an OPT record without options


class Waiting(NamedTuple):
    """A query that waits for a name outside our zones since a time of the performance counter."""

    endpoint: Endpoint
    envelope: tuple[bytes, bytes]
    message: bytes
    client: Client
    chase: Chase
    since_s: float


class Endpoint:
    """One socket of the worker with its slots."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = sockets.bind_datagram(host, port)
        self.family = 1 if self.socket.family == socket.AF_INET else 2
        self.batch = DatagramBatch(self.socket, is_wildcard=sockets.is_wildcard(host)) if IS_AVAILABLE else None


class Worker:
    """Answers over UDP until the feed ends."""

    def __init__(self, feed: Feed) -> None:
        setup = feed.load()
        self._feed = feed
        self._table: Table = feed.table
        self._identity: Identity = setup.identity
        self._counters = Counters("udp")
        self._counters.tallies = {1: new_tally(), 2: new_tally()}
        self._resolver: BackgroundResolver[Waiting] | None = None
        if setup.resolver:
            from headlessdns.server.background import BackgroundResolver  # it needs dnslib, a thread and a loop

            self._resolver = BackgroundResolver(setup.resolver)
            self._counters.resolver = self._resolver.results
        self._endpoints = [Endpoint(host, port) for host, port in setup.addresses]  # the table is complete: bind

    def run(self) -> None:
        """Answer for as long as the feed is there."""
        poller = select.poll()
        by_fd = {endpoint.socket.fileno(): endpoint for endpoint in self._endpoints}
        feed_fd = self._feed.socket.fileno()
        resolver_fd = self._resolver.wake.fileno() if self._resolver else -1
        for fd in (*by_fd, feed_fd, *([resolver_fd] if self._resolver else [])):
            poller.register(fd, select.POLLIN)
        timeout_ms = int(REPORT_INTERVAL_S * 1000)
        while True:
            self._feed.report(self._counters)
            ready = poller.poll(timeout_ms)
            if len(ready) > 1 or (ready and ready[0][0] == feed_fd):
                self._feed.apply_pending()
            for fd, _ in ready:
                if fd in by_fd:
                    endpoint = by_fd[fd]
                    if endpoint.batch is None:
                        self._answer_one(endpoint)
                    else:
                        self._answer_batch(endpoint, endpoint.batch)
                elif fd == resolver_fd:
                    self._answer_waiting()

    def _answer_batch(self, endpoint: Endpoint, batch: DatagramBatch) -> None:
        """Answer the datagrams that one system call brings."""
        lengths = batch.receive()
        started_s = time.perf_counter()
        received, to_send, out_lengths = batch.received, batch.to_send, batch.out_lengths
        answer = self._table.answer
        self._table.tally = self._counters.tallies[endpoint.family]
        out = 0
        responses = []
        long_way = []
        for slot, length in enumerate(lengths):
            start = slot * IN_OCTETS
            message = received[start : start + length].tobytes()
            response = answer(message)
            if response is None:
                response = self._respond(message, endpoint, slot)
                if response is None:
                    continue
                long_way.append(response)
            at = out * OUT_OCTETS
            size = len(response)
            to_send[at : at + size] = response
            out_lengths[2 * out + 1] = size
            if out != slot or batch.is_wildcard:
                batch.answer_from(out, slot)
            responses.append(response)
            out += 1
        if out:
            self._counters.lost += batch.send(out)
            if out != len(lengths) and not batch.is_wildcard:
                for slot in range(out):  # those after a dropped one had moved up
                    batch.answer_from(slot, slot)
        self._counters.count_kinds(endpoint.family, long_way)
        self._counters.observe(responses, time.perf_counter() - started_s)

    def _respond(self, message: bytes, endpoint: Endpoint, slot: int) -> bytes | None:
        """Take the long way, and remember a plain OPT record so that the next one takes the short way."""
        batch = endpoint.batch
        assert batch is not None  # the caller has it
        client = Client(batch.client(slot))
        now_s = int(time.time())
        response = respond(message, self._table, self._identity, client, now_s)
        if isinstance(response, Chase):
            chase, resolver = response, self._resolver
            assert resolver is not None  # `Identity.has_resolver` is set with it
            known = resolver.known(chase)
            if known is None:
                waiting = Waiting(endpoint, batch.envelope(slot), message, client, chase, time.perf_counter())
                resolver.submit(chase, waiting)
                return None
            response = respond(message, self._table, self._identity, client, now_s, known)
            assert not isinstance(response, Chase)  # there is nothing more to ask for
        if response is None:
            self._counters.dropped += 1
        elif message[10:12] == b"\x00\x01":
            learn_opt(self._table, message, response)
        return response

    def _answer_waiting(self) -> None:
        from headlessdns.server.chase import respond_chased

        assert self._resolver is not None  # its socket woke us
        for waiting, chased in self._resolver.collect():
            endpoint, batch, client = waiting.endpoint, waiting.endpoint.batch, waiting.client
            response = respond_chased(waiting.message, self._table, self._identity, client, waiting.chase, chased)
            if response is not None and batch is not None:
                self._counters.lost += batch.send_later(waiting.envelope, response)
                self._counters.count(endpoint.family, [response], time.perf_counter() - waiting.since_s)

    def _answer_one(self, endpoint: Endpoint) -> None:
        """Answer one datagram without recvmmsg; a CNAME that leaves our zones is not followed here."""
        try:
            message, address = endpoint.socket.recvfrom(IN_OCTETS)
        except OSError:
            return
        started_s = time.perf_counter()
        response = self._table.answer(message)
        if response is None:
            client = Client(socket.inet_pton(endpoint.socket.family, address[0].partition("%")[0]))
            found = respond(message, self._table, self._identity, client, int(time.time()), Chased())
            response = found if isinstance(found, bytes) else None
        if response is None:
            self._counters.dropped += 1
            return
        try:
            endpoint.socket.sendto(response, address)
        except OSError:
            self._counters.lost += 1
        self._counters.count(endpoint.family, [response], time.perf_counter() - started_s)


def learn_opt(table: Table, message: bytes, response: bytes) -> None:
    """Teach *table* the OPT record of *message* if it is plain: EDNS version 0 and no options, on either side."""
    end = question_end(message)
    record = message[end:]
    if response[10:12] == b"\x00\x00":  # no OPT in it, and what looks like one at its end is the question's
        return
    if end <= HEADER_OCTETS or len(record) != _OPT_OCTETS or record[5:7] != b"\x00\x00" or record[9:] != b"\x00\x00":
        return
    answered = response[-_OPT_OCTETS:]
    if answered[:3] == b"\x00\x00\x29" and answered[9:] == b"\x00\x00" and answered[5] == 0:
        size_octets = int.from_bytes(record[3:5], "big")
        limit = min(edns.UDP_SIZE_OCTETS, max(edns.PLAIN_SIZE_OCTETS, size_octets))
        table.learn_opt(record, limit, answered)


def main() -> int:
    """Run a worker on the feed whose descriptor is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when we leave
    try:
        worker = Worker(Feed(socket.socket(fileno=int(sys.argv[1]))))
        gc.freeze()  # the table stays; the collector need not walk it again and again
        worker.run()
    except ParentGoneError:
        return 0
    except OSError as error:
        print(f"a UDP worker cannot go on: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
