"""A load is told when it differs by enough, and not too often; that work has ended at once."""

from __future__ import annotations

from scheduler.protocol.messages import ExpertLoadReported
from workers.fabric.expert_load import PPM, REFRESH_NS, ExpertLoad

MS = 1_000_000


class Shares:
    """Costs are the shares themselves."""

    def at(self, share_ppm: int) -> int:
        return share_ppm


def make() -> ExpertLoad[int]:
    """100 GB/s a die; a unit takes 1 ms of it, a cached one 0.1 ms."""
    return ExpertLoad("p0", Shares(), (1e6, 1e5), 10**11)


def test_the_load_is_the_part_of_the_line_that_work_takes() -> None:
    load = make()
    assert load.tell(0, 200 * MS, 200 * MS, 40, 100) == [
        ("fabric", ExpertLoadReported("p0", 25 * 10**9, 200 * MS, PPM))
    ]
    assert load.cost(500_000) == 500_000
    assert load.tell(200 * MS, 300 * MS, 100 * MS, 300)[0][1] == ExpertLoadReported("p0", 10**11, 300 * MS, 500_000)


def test_no_more_than_one_in_its_time_and_none_that_says_the_same() -> None:
    load = make()
    assert load.tell(0, 1_000 * MS, 100 * MS, 50)
    assert not load.tell(REFRESH_NS - 1, 1_000 * MS, 100 * MS, 90)
    assert not load.tell(REFRESH_NS, 1_000 * MS, 100 * MS, 51)
    assert load.tell(REFRESH_NS, 1_000 * MS, 100 * MS, 52)
    # It says the same, but what was told holds no longer.
    assert load.tell(1_000 * MS, 2_000 * MS, 100 * MS, 52)


def test_an_end_is_told_at_once_and_only_once() -> None:
    load = make()
    assert not load.tell(0, 0, 0, 0)
    assert load.tell(0, 200 * MS, 100 * MS, 50)
    assert load.tell(MS, MS, 0, 0) == [("fabric", ExpertLoadReported("p0", 0, MS, PPM))]
    assert not load.tell(2 * MS, 2 * MS, 0, 0)
