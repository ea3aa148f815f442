"""Exercise: a new subject of metrics in one file, here ended requests by class of prompt length.

What stands between the two lines is the whole of such a file in `scheduler/metrics/subjects/`. The tests see it
wherever metrics are shown, without a change anywhere else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from deploy.pages.metrics_page import page
from scheduler.core.request_table import RequestTable
from scheduler.metrics.columns import Ints
from scheduler.metrics.export.exposition import OPENMETRICS_END, render
from scheduler.metrics.export.registry import snapshot_registry
from scheduler.metrics.export.simulated_scrapes import SimulatedScrapes
from scheduler.metrics.facility import Ground
from scheduler.metrics.family import Family, by_value
from scheduler.metrics.layout import Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.ended_run import EndedRun, RunInfo
from scheduler.metrics.outcome.summary import summarize
from scheduler.metrics.records import Records
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import DECODE, PREFILL, WORKERS, RowSource, make_core, make_worker, small_spec

# ------------------------------------------------------------------------------------------------------- the one file

BOUNDS: Final = (500, 1_000, 1_500)
LENGTHS: Final[tuple[str, ...]] = ("to_500", "to_1000", "to_1500", "longer")


def by_length(records: Records) -> Ints:
    """Requests by class of their prompt's length, shape (num_lengths,)."""
    return np.bincount(np.searchsorted(BOUNDS, records.prompt_tokens), minlength=len(LENGTHS))


class PromptLengthTotals(Struct, frozen=True):
    """Ended requests, in the order of `LENGTHS`."""

    ended: tuple[int, ...]


class PromptLengthAccount(Account[PromptLengthTotals]):
    """Counts requests as they end."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._ended = np.zeros(len(LENGTHS), np.int64)

    def drain(self, first: Records, ended: Records) -> None:
        """Those that ended since the last look."""
        self._ended += by_length(ended)

    def totals(self, session: Session | None) -> PromptLengthTotals:
        """As they stand."""
        return PromptLengthTotals(tuple(self._ended.tolist()))


def _summary(run: EndedRun) -> Mapping[str, Any]:
    return {"prompt_lengths": dict(zip(LENGTHS, by_length(run.records).tolist()))}


FAMILIES: Final = (
    Family(
        "supernode_requests_by_prompt_length_total", "counter", "Ended requests by class of prompt length.",
        lambda s: s[PromptLengthTotals].ended, ("length",), by_value(*LENGTHS),
    ),
)  # fmt: skip


def register() -> None:
    """In a file of its own this is a plain line at its end."""
    SUBJECTS.register("prompt_lengths", Subject(PromptLengthTotals, PromptLengthAccount, FAMILIES, _summary))


# ---------------------------------------------------------------------------------------------------------- the tests

NAME = "supernode_requests_by_prompt_length_total"
SPEC = small_spec(40)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register()
    yield
    del SUBJECTS._entries["prompt_lengths"]  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True)
class _Ran:
    table: RequestTable
    snapshot: Snapshot
    scrapes: str
    summary: dict[str, Any]

    def expected(self) -> dict[str, int]:
        """Counted one by one."""
        counts: dict[str, int] = dict.fromkeys(LENGTHS, 0)
        for tokens in self.table.prompt_tokens[: self.table.num_requests]:
            counts[next((name for name, bound in zip(LENGTHS, BOUNDS) if tokens <= bound), LENGTHS[-1])] += 1
        assert all(counts.values())
        return counts


def _run() -> _Ran:
    """A small system on the virtual clock, measured in both ways."""
    core = make_core(SPEC)
    prefill = [LiveInstance(address, "prefill", 16, 1000) for address in PREFILL]
    decode = [LiveInstance(address, "decode", 16, 100_000) for address in DECODE]
    layout = Layout("1", (*prefill, *decode), {"network": ("fabric", "cache")}, (WatchedSupernode(Ground(8, 4)),))
    totals = LiveTotals(layout)
    totals.begin(core.table, 1.0)
    collector = Collector(core.table, [MeteredInstance(one.address, one.role, 16) for one in layout.instances])
    with tempfile.TemporaryFile() as spool:
        scrapes = SimulatedScrapes(totals, layout, [*PREFILL, *DECODE], 10**9, 0, spool)
        workers = [make_worker(SPEC, address) for address in WORKERS]
        core.add_guest(collector)
        core.add_guest(totals)
        runtime = VirtualRuntime([RowSource(SPEC["rows"]), core, *workers, scrapes], core.address)
        runtime.run()
        scrapes.end(runtime.now_ns)
        text = "".join(scrapes.texts())
    summary = summarize(collector, RunInfo(0.0, 0, "", {}, has_prefix_cache=True)).to_json()
    return _Ran(core.table, totals.snapshot(runtime.now_ns), text, summary)


def test_a_live_system_exports_it() -> None:
    ran = _run()
    for openmetrics in (False, True):
        text = render(ran.snapshot, openmetrics=openmetrics).removesuffix(OPENMETRICS_END)
        samples = [line for line in text.splitlines() if line.startswith(f"{NAME}{{")]
        assert samples == [f'{NAME}{{length="{length}"}} {count}' for length, count in ran.expected().items()]
    (family,) = (one for one in text_string_to_metric_families(render(ran.snapshot)) if f"{one.name}_total" == NAME)
    assert (family.type, family.documentation) == ("counter", FAMILIES[0].help)


def test_prometheus_client_sees_it() -> None:
    ran = _run()
    registry = snapshot_registry(lambda: ran.snapshot)
    assert {length: registry.get_sample_value(NAME, {"length": length}) for length in LENGTHS} == ran.expected()


def test_a_simulated_scrape_has_it_at_every_instant() -> None:
    ran = _run()
    for length, count in ran.expected().items():
        points = [
            line.split()[1] for line in ran.scrapes.splitlines() if line.startswith(f'{NAME}{{length="{length}"}}')
        ]
        assert (points[0], points[-1]) == ("0", str(count))
        assert len(points) > 2


def test_the_summary_of_a_run_has_it_after_all_other_keys() -> None:
    ran = _run()
    assert ran.summary["prompt_lengths"] == ran.expected()
    assert list(ran.summary)[-1] == "prompt_lengths"


def test_the_page_of_metrics_has_its_row() -> None:
    assert f"| `{NAME}` | counter | count | `length` | {FAMILIES[0].help} |" in page()
