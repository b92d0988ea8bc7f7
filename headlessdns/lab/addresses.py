"""Addresses for pods. Pure.

A pod has one address of each range, at the same place in each. The next pod gets the next place, and the first places
come again only when the last is given out: so a pod that is made anew has a new address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

RESERVED = 2  # the network itself, and the gateway
MAX_PLACES = 2**32  # of an IPv6 range; more pods than that do not come


class AddressPool:
    """Who has which place in the ranges."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        """Take one range, or one of each family.

        Raises:
            ValueError: One is no range, or too small, or a family comes twice, or there is none.
        """
        self._ranges = [ipaddress.ip_network(cidr) for cidr in cidrs]
        if not self._ranges or len({network.version for network in self._ranges}) < len(self._ranges):
            raise ValueError("pods need one range of addresses, or one of each family")
        # The last address of an IPv4 range is its broadcast address.
        self._end = min(MAX_PLACES, *(network.num_addresses - 1 for network in self._ranges))
        if self._end <= RESERVED:
            raise ValueError(f"too small for pods: {', '.join(map(str, self._ranges))}")
        self._next = RESERVED
        self._places: dict[str, set[int]] = {}
        self._holders: dict[int, str] = {}

    def take(self, uid: str) -> tuple[str, ...]:
        """Return addresses for the pod *uid*, one of each range; none where all are held."""
        if len(self._holders) >= self._end - RESERVED:
            return ()
        while self._next in self._holders or self._next == self._end:
            self._next = self._next + 1 if self._next < self._end else RESERVED
        place = self._next
        self._next += 1
        self._hold(uid, place)
        return tuple(str(network[place]) for network in self._ranges)

    def hold(self, uid: str, addresses: Iterable[str]) -> None:
        """Note that *uid* has these addresses already; what is outside the ranges, or none, does not matter."""
        for text in addresses:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                continue
            for network in self._ranges:
                if address.version != network.version or address not in network:
                    continue
                place = int(address) - int(network.network_address)
                if RESERVED <= place < self._end:
                    self._hold(uid, place)
                    self._next = max(self._next, place + 1)

    def free(self, uid: str) -> None:
        """Take back what *uid* has."""
        for place in self._places.pop(uid, ()):
            if self._holders.get(place) == uid:
                del self._holders[place]

    def _hold(self, uid: str, place: int) -> None:
        self._holders.setdefault(place, uid)
        self._places.setdefault(uid, set()).add(place)
