"""Every choice and every start is a row of the decision log, whatever message it follows from, with its own reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import FALLBACK_REASON
from scheduler.core.scheduler import Scheduler
from scheduler.metrics.live.decisions import DecisionCounts
from scheduler.policies import make_routing_policy
from scheduler.policies.view import Reads, RequestView, StageKind, StageView
from scheduler.protocol.messages import PrefixesLost, RequestsArrived, StartDecode, StartPrefill, TransferDone
from tests.naive.case import Case
from tests.naive.strategies import QUICK_PHASES, any_cases, cached_cases, mixed_cases
from tests.sim.losing import LosingSystem
from tests.sim.trouble import Trouble, fetching_cases, troubles
from tests.unit.scheduler.core.told import Told, starts


class Kept:
    """A decision log that keeps all it is told."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[StageKind, int], str] = {}
        self.started_ids: dict[StageKind, list[int]] = {stage: [] for stage in StageKind}

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """Keep the reason."""
        self.reasons[stage, request_id] = decision.reason

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """Keep the ids."""
        self.started_ids[stage] += ids


def test_a_start_that_follows_from_lost_prefixes_is_logged_and_counted() -> None:
    told, kept, counts = Told(CacheMode.POOL), Kept(), DecisionCounts()
    told.core.state.decision_logs.extend((kept, counts))
    told.arrive(prefix=range(10))
    told.found([0], 50)
    assert (kept.started_ids[StageKind.PREFILL], sum(counts.totals())) == ([], 1)
    assert starts(told.tell(PrefixesLost("cache", [0], [0]))) == {"p1": [0]}
    assert (kept.started_ids[StageKind.PREFILL], sum(counts.totals())) == ([0], 2)


@st.composite
def troubled_cases(draw: st.DrawFn) -> tuple[Case, Trouble]:
    """A system and what goes wrong in it."""
    case = draw(st.one_of(any_cases(), cached_cases(mixed_cases()), fetching_cases()))
    return case, draw(troubles(case))


@settings(max_examples=60, phases=QUICK_PHASES)
@given(troubled=troubled_cases())
def test_each_start_that_the_core_commands_is_logged(troubled: tuple[Case, Trouble]) -> None:
    system, kept = LosingSystem(*troubled), Kept()
    system.scheduler.state.decision_logs.append(kept)
    system.run()
    for stage, kind in ((StageKind.PREFILL, StartPrefill), (StageKind.DECODE, StartDecode)):
        commands = [message for outputs in system.said for _, message in outputs if isinstance(message, kind)]
        commanded = Counter(i for command in commands for i in command.ids)
        # What goes to those who are down was started and is never sent.
        assert commanded <= Counter(kept.started_ids[stage])
        assert {(stage, i) for i in commanded} <= kept.reasons.keys()


class FailsForOdd:
    """Fails at every second choice."""

    reason = "half: the first, if it works"
    reads = Reads.LOAD

    def __init__(self) -> None:
        self.num_choices = 0

    def choose(self, stage: StageView, request: RequestView) -> int:
        """The first instance, or an error."""
        self.num_choices += 1
        if self.num_choices % 2 == 0:
            raise ValueError(self.num_choices)
        return 0


def test_requests_of_one_instant_have_each_their_own_reason() -> None:
    instances = [InstanceInfo("p0", 1, 1000)]
    config = SchedulerConfig(instances, [InstanceInfo("d0", 1, 1000)])
    core, kept = Scheduler(config, FailsForOdd(), make_routing_policy("round_robin")), Kept()
    core.state.decision_logs.append(kept)
    ((_, command),) = core.handle(0, RequestsArrived([10] * 4, [b""] * 4, [[]] * 4, [0] * 4, 10))
    assert isinstance(command, StartPrefill)
    assert command.ids == [0, 1, 2, 3]
    expected = ["half: the first, if it works", FALLBACK_REASON] * 2
    assert [kept.reasons[StageKind.PREFILL, i] for i in range(4)] == expected
