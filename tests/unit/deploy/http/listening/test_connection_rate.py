"""The bound on new connections: each address has its own, and what is not used is not kept for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.http.listening.connection_rate import ConnectionRate, source_of

addresses = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::"])


@given(st.lists(st.tuples(addresses, st.floats(0.0, 2.0)), max_size=200))
def test_no_address_gets_more_than_its_burst_and_its_rate(comings: list[tuple[str, float]]) -> None:
    rate, now_s = ConnectionRate(per_s=2.0, burst=5.0), 100.0
    taken: dict[str, list[float]] = {}
    for source, pause_s in comings:
        now_s += pause_s
        times_s = taken.setdefault(source, [])
        if rate.takes(source, now_s):
            times_s.append(now_s)
        else:  # only whoever had as many as may be is turned away, and a second later it is not
            assert len(times_s) >= 5
            assert sum(now_s - one < 2.5 for one in times_s) >= 2
    for times_s in taken.values():
        for first, began_s in enumerate(times_s):
            for last in range(first, len(times_s)):
                assert last - first + 1 <= 5.0 + 2.0 * (times_s[last] - began_s + 1.0) + 1e-6


def test_addresses_that_are_quiet_are_forgotten() -> None:
    rate = ConnectionRate(per_s=2.0, burst=5.0)
    for number in range(1000):
        assert rate.takes(f"10.0.{number // 256}.{number % 256}", 1.0)
    assert rate.takes("10.9.9.9", 3.0)
    assert len(rate._levels) == 1


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        (("127.0.0.1", 40000), "127.0.0.1"),
        (("::ffff:10.0.0.7", 40000, 0, 0), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 40000, 0, 0), "2001:db8:1:2::"),
        (("2001:db8:1:2::9", 40000, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 40000, 0, 2), "fe80::"),
        (None, ""),
    ],
)
def test_who_one_address_is(peer: tuple[object, ...] | None, source: str) -> None:
    assert source_of(peer) == source
