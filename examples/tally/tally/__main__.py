"""``python -m tally``: one member."""

from __future__ import annotations

import argparse
import functools
import logging
import signal
import threading

import dns.resolver

from tally.discovery import find_peers
from tally.member import Member


def main() -> None:
    """Run a member until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="tally", description="Count together with others.")
    parser.add_argument("--name", required=True, help="this member's name: that of its pod")
    parser.add_argument("--service", default="tally", help="the headless Service in which its peers are")
    parser.add_argument("--listen", default="127.0.0.1:7700", metavar="ADDRESS:PORT")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    host, _, port = chosen.listen.rpartition(":")
    leave = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leave.set())
    peers = functools.partial(find_peers, chosen.service, dns.resolver.Resolver())
    with Member(chosen.name, peers, listen=(host, int(port))) as member:
        print(f"{member.name} listens on http://{host}:{member.address[1]}", flush=True)
        leave.wait()


if __name__ == "__main__":
    main()
