"""The counter by itself: no lab, no network."""

from tally.counter import merged, total


def test_of_two_counts_the_higher_one_is_later() -> None:
    """What two members know together is the higher count of each."""
    one, other = {"tally-0": 3, "tally-1": 1}, {"tally-1": 4, "tally-2": 2}
    assert merged(one, other) == merged(other, one) == {"tally-0": 3, "tally-1": 4, "tally-2": 2}


def test_the_total_is_that_of_all() -> None:
    """The total is what all have counted, nothing where nobody has."""
    assert total({"tally-0": 3, "tally-1": 4}) == 7
    assert total({}) == 0
