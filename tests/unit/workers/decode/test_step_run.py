"""A run of steps in closed form is what adding up its steps gives, wherever it is cut."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.step_run import PS_PER_NS, StepRun

RUNS = st.lists(
    st.tuples(st.integers(1, 50), st.integers(1, 5_000), st.integers(0, 200), st.integers(0, 100)),
    min_size=1,
    max_size=6,
)
"""(steps, offset, slope, nanoseconds after its beginning at which it is cut) of runs that follow each other."""


@given(runs=RUNS, fraction=st.sampled_from([(1, 1), (17, 10), (1, 3)]))
def test_runs_that_follow_each_other_and_are_cut(
    runs: list[tuple[int, int, int, int]], fraction: tuple[int, int]
) -> None:
    expected = ExpectedTokens(*fraction)
    run, step, clock_ps = StepRun(expected), 0, 0
    for num_steps, offset_ps, slope_ps, cut_after_ns in runs:
        run.begin(num_steps, offset_ps, slope_ps)
        lengths_ps = [offset_ps + slope_ps * expected.at(step + i) for i in range(num_steps)]
        ends_ps = [clock_ps + length_ps for length_ps in accumulate(lengths_ps)]
        assert (run.first_ps, run.end_ps) == (lengths_ps[0], ends_ps[-1])
        target_ns = clock_ps // PS_PER_NS + cut_after_ns
        kept = 1 + sum(end_ps < target_ns * PS_PER_NS for end_ps in ends_ps[:-1])
        assert run.steps_until(target_ns) == kept
        run.cut(target_ns)
        assert (run.num_steps, run.end_ps) == (kept, ends_ps[kept - 1])
        assert run.accepted_over == sum(expected.at(step + i) for i in range(kept))
        run.end()
        step, clock_ps = step + kept, ends_ps[kept - 1]
        assert (run.num_steps, run.step, run.accepted, run.clock_ps) == (0, step, expected.at(step), clock_ps)
        assert run.last_ps == lengths_ps[kept - 1]
