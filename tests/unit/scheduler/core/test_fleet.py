"""A stage some of whose instances are down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage


@given(down=st.sets(st.integers(0, 4)), loads=st.lists(st.integers(0, 5), min_size=5, max_size=5))
def test_who_is_down_has_nothing_to_do(down: set[int], loads: list[int]) -> None:
    stage = Stage([InstanceInfo(f"p{i}", 1, 100 + i % 3) for i in range(5)])
    stage.outstanding_requests[:] = loads
    stage.outstanding_tokens[:] = loads
    lost = stage.take_down([*(f"p{i}" for i in down), "d0"])
    assert lost == down
    assert [stage.outstanding_requests[i] for i in down] == [0] * len(down)
    if stage.up:
        assert stage.capacity_tokens[stage.roomiest] == max(stage.capacity_tokens[i] for i in stage.up)
    assert stage.max_sequence_tokens == 100
    stage.bring_up([f"p{i}" for i in down])
    assert stage.up == list(range(5))
