"""Addresses for pods."""

from __future__ import annotations

import pytest

from headlessdns.lab.addresses import AddressPool


def test_first_addresses() -> None:
    """The first pod has the first address after the gateway, in each range."""
    assert AddressPool(["10.244.0.0/16"]).take("a") == ("10.244.0.2",)
    assert AddressPool(["10.244.0.0/16", "fd00:244::/64"]).take("a") == ("10.244.0.2", "fd00:244::2")
    assert AddressPool(["fd00:244::/64"]).take("a") == ("fd00:244::2",)


def test_new_address_each_time() -> None:
    """What is given back is not given out again until the last address is reached."""
    pool = AddressPool(["10.0.0.0/29"])  # .2 to .6
    assert [pool.take(uid)[0][-1] for uid in "abc"] == ["2", "3", "4"]
    pool.free("a")
    assert [pool.take(uid)[0][-1] for uid in "def"] == ["5", "6", "2"]


def test_held_addresses_are_passed_over() -> None:
    """An address that a pod has is never given to another, and where all are held there is none."""
    pool = AddressPool(["10.0.0.0/29"])
    pool.hold("a", ["10.0.0.6"])
    pool.hold("b", ["10.0.0.3", "192.0.2.1", "fd00::1", "?"])
    assert [pool.take(uid)[0][-1] for uid in "cde"] == ["2", "4", "5"]
    assert pool.take("f") == ()
    pool.free("b")
    assert pool.take("f") == ("10.0.0.3",)


def test_goes_on_after_the_last_known() -> None:
    """After a restart the next pod has the address after those that pods have."""
    pool = AddressPool(["10.0.0.0/24"])
    pool.hold("a", ["10.0.0.9"])
    pool.hold("b", ["10.0.0.4"])
    assert pool.take("c") == ("10.0.0.10",)


def test_free_twice() -> None:
    """Giving back what one does not have does no harm."""
    pool = AddressPool(["10.0.0.0/24"])
    pool.free("nobody")
    assert pool.take("a") == ("10.0.0.2",)


@pytest.mark.parametrize(
    "cidrs",
    [
        pytest.param([], id="none"),
        pytest.param(["10.0.0.0/24", "10.1.0.0/24"], id="one-family-twice"),
        pytest.param(["10.0.0.0/31"], id="too-small"),
        pytest.param(["ten"], id="no-range"),
    ],
)
def test_bad_ranges(cidrs: list[str]) -> None:
    """Ranges that cannot be used are refused at once."""
    with pytest.raises(ValueError):
        AddressPool(cidrs)
