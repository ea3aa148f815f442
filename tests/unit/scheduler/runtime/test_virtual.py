"""An observer looks at a run at its own instants, sees what was before each, and never prolongs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scheduler.protocol.component import NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import Message, ReportUsage, RunEnded, UsageReported
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import WORKERS, RowSource, make_core, make_worker, small_spec, stamps
from tests.tap import Tap

SPEC = small_spec(30, rate_per_s=0.3)
EVERY_NS = 1_500_000_000


class Watcher(TimingFlags):
    """Notes when it is woken and what `look` returns then."""

    address = "watcher"
    priority = Priority.OBSERVER
    is_observer = True

    def __init__(self, look: Callable[[], Any], says: Outputs = NOTHING) -> None:
        self.deadline_ns = 0
        self.seen: list[tuple[int, Any]] = []
        self._look = look
        self._says = says

    def handle(self, now_ns: int, message: Message) -> Outputs:
        assert isinstance(message, RunEnded)
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        self.seen.append((now_ns, self._look()))
        self.deadline_ns = now_ns + EVERY_NS
        return self._says


def run_watched(says: Outputs = NOTHING, *, is_watched: bool = True) -> tuple[Any, VirtualRuntime, Watcher, list[int]]:
    """Core, runtime, watcher, and the times at which accounts came to the core."""
    core = make_core(SPEC)
    watcher = Watcher(lambda: core.table.num_requests, says)
    accounts: list[int] = []

    def tap(now_ns: int, message: Message) -> None:
        if isinstance(message, UsageReported):
            accounts.append(now_ns)

    workers = [make_worker(SPEC, address) for address in WORKERS]
    components = [RowSource(SPEC["rows"]), core, *workers, *([watcher] if is_watched else [])]
    core.add_guest(Tap(tap))
    runtime = VirtualRuntime(components, core.address)
    assert not runtime.run()
    return core, runtime, watcher, accounts


def test_a_watched_run_is_the_same_run_and_no_longer() -> None:
    core, runtime, watcher, _ = run_watched()
    other, unwatched, _, _ = run_watched(is_watched=False)
    assert stamps(core.table) == stamps(other.table)
    assert runtime.now_ns == unwatched.now_ns
    times = [at_ns for at_ns, _ in watcher.seen]
    assert times == list(range(0, runtime.now_ns + 1, EVERY_NS))[: len(times)]
    assert runtime.now_ns - times[-1] <= EVERY_NS
    arrivals = core.table.arrived_ns
    for at_ns, num_requests in watcher.seen:
        assert num_requests == sum(arrived < at_ns for arrived in arrivals[: core.table.num_requests])


def test_what_a_watcher_says_is_heard_at_its_instant() -> None:
    _, runtime, watcher, accounts = run_watched((("prefill-0", ReportUsage()),))
    idle = set(accounts) & {at_ns for at_ns, _ in watcher.seen}
    assert len(idle) > len(watcher.seen) / 2
    assert runtime.now_ns >= max(idle)
