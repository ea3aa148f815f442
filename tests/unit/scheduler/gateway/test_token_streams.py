"""Token streams: each token once, in order, at the times that reports tell, and none after the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.guest import Guest
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.gateway.gateway_source import ClientRequest, GatewaySource
from scheduler.gateway.token_streams import TokenStreams
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import DecodeStepped, Message, PrefillStepped, Usage, WorkersLost
from tests.small_system import MS
from tests.unit.scheduler.gateway.answers import Heard, SmallGateway, spec_of
from workers.decode.accepted_drafts import accepted_path
from workers.decode.config import Sampling

USAGE = Usage(0, 0, 0, 0.0)
NEAR_NS = MS // 10


class Boundaries(Guest):
    """Ends of decode steps and of passes, as they are reported one by one."""

    hears = (DecodeStepped, PrefillStepped)

    def __init__(self) -> None:
        self.times_ns: set[int] = set()

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Note one."""
        assert isinstance(message, DecodeStepped | PrefillStepped)
        self.times_ns.add(message.boundary_ns)
        return NOTHING


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    interval_ms=st.sampled_from([0, 5, 20, 500]),
    decode_blocks=st.sampled_from([20, 400]),
    more=st.sampled_from([{}, {"sampled": (1, 0.7, 3)}, {"sampled": (4, 0.9, 8)}]),
)
def test_each_token_is_told_once_between_first_and_last(
    seed: int, interval_ms: int, decode_blocks: int, more: dict[str, Any]
) -> None:
    # With 20 blocks sequences are preempted and recomputed.
    spec = spec_of(num_requests=25, seed=seed, rate_per_s=40.0, report_interval_ns=interval_ms * MS, **more)
    gateway = SmallGateway(spec | {"decode_blocks": decode_blocks})
    table, heard = gateway.core.table, gateway.heard
    assert sorted(heard.rows) == list(range(25))
    for key, row in heard.rows.items():
        if table.first_token_ns[row] == NOT_YET:
            assert key not in heard.steps
            continue
        steps = heard.steps[key]
        assert steps[0] == (1, table.first_token_ns[row])
        assert steps[-1] == (table.output_tokens[row], table.last_token_ns[row])


def test_times_of_tokens_are_ends_of_steps() -> None:
    boundaries = Boundaries()
    gateway = SmallGateway(spec_of(num_requests=25, report_interval_ns=0), guest=boundaries)
    told = {at_ns for steps in gateway.heard.steps.values() for _, at_ns in steps}
    assert told
    assert told <= boundaries.times_ns


@settings(max_examples=10, deadline=None)
@given(drafts=st.integers(1, 4), key=st.integers(0, 99))
def test_each_step_is_told_as_the_burst_that_it_is(drafts: int, key: int) -> None:
    spec = spec_of(num_requests=25, rate_per_s=40.0, report_interval_ns=0, sampled=(drafts, 0.7, key))
    gateway = SmallGateway(spec | {"decode_blocks": 400})
    outputs = gateway.core.table.output_tokens
    assert len(gateway.heard.steps) == 25
    for request, row in gateway.heard.rows.items():
        path = accepted_path(Sampling(drafts, 0.7, key), row, 1, outputs[row]) if outputs[row] > 1 else np.array([1])
        assert [num_tokens for num_tokens, _ in gateway.heard.steps[request]] == path.tolist()


def test_coarse_reports_tell_the_same_times_as_fine_ones() -> None:
    fine, coarse = (
        SmallGateway(spec_of(num_requests=12, rate_per_s=4.0, report_interval_ns=interval_ms * MS)).heard.steps
        for interval_ms in (0, 500)
    )
    assert fine.keys() == coarse.keys()
    for key, steps in fine.items():
        for num_tokens, at_ns in coarse[key]:
            # Lengths of steps are close to linear, and so are the tokens that MTP brings.
            at = min(steps, key=lambda step: abs(step[1] - at_ns))
            assert abs(at[1] - at_ns) < NEAR_NS, (key, at_ns)
            assert abs(at[0] - num_tokens) <= 1


def test_who_wants_no_tokens_is_told_of_the_end_only() -> None:
    heard = SmallGateway(spec_of(num_requests=10, report_interval_ns=0), wants_tokens=None).heard
    assert sorted(heard.rows) == list(range(10))
    assert sorted(heard.steps) == [0, 2, 4, 6, 8]


def test_the_source_forgets_what_has_ended() -> None:
    gateway = SmallGateway(spec_of(num_requests=10))
    assert gateway.source.num_open == 0
    assert not gateway.source.streaming


STEP_NS = 15 * MS

events = st.lists(
    st.one_of(
        st.tuples(st.just("steps"), st.integers(1, 9)),
        st.tuples(st.just("lost"), st.just(0)),
        st.tuples(st.just("preempted"), st.integers(1, 9)),
    ),
    max_size=12,
)


@given(happens=events, left=st.integers(0, 9))
def test_any_sequence_of_reports_tells_each_token_once(happens: list[tuple[str, int]], left: int) -> None:
    """One request that goes from instance to instance, with losses and preemptions, until it finishes."""
    table, source, heard = RequestTable(), GatewaySource(512), Heard()
    streams = TokenStreams(table, source, heard)
    key, arrived = source.accept(ClientRequest(100, 1000, [], wants_tokens=True))
    table.add(0, [100])
    streams.after(0, arrived)
    now_ns, instance = 0, 0

    def prefill() -> None:
        nonlocal now_ns
        now_ns += STEP_NS
        table.output_tokens[0] += 1
        streams.after(now_ns, PrefillStepped("prefill-0", now_ns, [], [], [], [0], [], 100, USAGE))

    def step(num_steps: int, **more: list[int]) -> None:
        nonlocal now_ns
        lists = dict.fromkeys(("started_ids", "finished_ids", "finished_tokens", "preempted_ids", "preempted_tokens"))
        told = {name: more.get(name, []) for name in lists}
        now_ns += num_steps * STEP_NS
        report = DecodeStepped(
            f"decode-{instance}", now_ns, num_steps * STEP_NS, num_steps, STEP_NS, STEP_NS, 1, num_steps, 0,
            told["started_ids"], told["finished_ids"], told["finished_tokens"], [], told["preempted_ids"],
            told["preempted_tokens"], USAGE,
        )  # fmt: skip
        streams.after(now_ns, report)

    prefill()
    step(0, started_ids=[0])
    for what, num_steps in happens:
        if what == "steps":
            step(num_steps)
            table.output_tokens[0] += num_steps
            continue
        if what == "lost":
            streams.after(now_ns, WorkersLost([f"decode-{instance}"]))
        else:
            table.output_tokens[0] += num_steps
            step(num_steps, preempted_ids=[0], preempted_tokens=[table.output_tokens[0]])
        instance += 1
        prefill()
        step(0, started_ids=[0])
    total = table.output_tokens[0] + left
    step(10, finished_ids=[0], finished_tokens=[total])
    table.output_tokens[0] = total
    streams.ended(now_ns, [0])
    step(3)  # a report of others
    assert heard.rows == {key: 0}
    # One token a step: each is told by itself.
    assert [num_tokens for num_tokens, _ in heard.steps[key]] == list(range(1, total + 1))
