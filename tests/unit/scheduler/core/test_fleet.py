"""A stage some of whose instances are down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.policies import make_routing_policy

INDICES = st.sets(st.integers(0, 4))
LOADS = st.lists(st.integers(0, 5), min_size=5, max_size=5)


@given(down=INDICES, loads=LOADS, policy=st.sampled_from(["least_loaded", "cloudmatrix"]))
def test_the_choice_is_that_of_a_stage_of_those_that_are_up(down: set[int], loads: list[int], policy: str) -> None:
    stage = Stage([InstanceInfo(f"p{i}", 1, 100 + i % 3) for i in range(5)])
    stage.outstanding_requests[:] = loads
    stage.outstanding_tokens[:] = loads
    lost = stage.take_down([*(f"p{i}" for i in down), "d0"])
    assert lost == down
    assert [stage.outstanding_requests[i] for i in down] == [0] * len(down)
    if stage.up:
        best = min(stage.up, key=lambda i: (loads[i], i))
        assert stage.chooser(make_routing_policy(policy))(stage, 1) == best
        assert stage.capacity_tokens[stage.roomiest] == max(stage.capacity_tokens[i] for i in stage.up)
    assert stage.max_sequence_tokens == 100
    stage.bring_up([f"p{i}" for i in down])
    assert stage.up == list(range(5))
