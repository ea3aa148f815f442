"""Named streams of random numbers."""

from __future__ import annotations

from scheduler.runtime.random_streams import stream, stream_on_demand


def test_a_stream_on_demand_is_one_stream_and_the_same_as_if_it_had_been_made_at_once() -> None:
    give = stream_on_demand(3, "a name")
    assert give() is give()
    assert give().integers(10**9, size=5).tolist() == stream(3, "a name").integers(10**9, size=5).tolist()
