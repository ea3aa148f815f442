"""A run on the virtual clock as an OpenMetrics file: valid, in the order of time, and true to the run."""

from __future__ import annotations

import tempfile
from itertools import groupby, pairwise
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser

from scheduler.metrics.export.simulated_scrapes import SimulatedScrapes
from scheduler.metrics.facility import Ground
from scheduler.metrics.layout import Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.live.totals import LiveTotals
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import DECODE, PREFILL, WORKERS, RowSource, make_core, make_worker, small_spec, stamps

PARSER: Any = openmetrics_parser

SPEC = small_spec(40, rate_per_s=2.0)
START_S = 1_735_689_600
EVERY_S = 1.5

Series = dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]]


def scrape_small() -> tuple[Any, VirtualRuntime, str]:
    """The core and runtime of a small run, and the file."""
    core = make_core(SPEC)
    prefill = [LiveInstance(address, "prefill", 16, 1000) for address in PREFILL]
    decode = [LiveInstance(address, "decode", 16, 100_000) for address in DECODE]
    layout = Layout("1", (*prefill, *decode), {"network": ("fabric", "cache")}, (WatchedSupernode(Ground(8, 4)),))
    totals = LiveTotals(layout)
    totals.begin(core.table, 1.0)
    with tempfile.TemporaryFile() as spool:
        metered = [*PREFILL, *DECODE]
        scrapes = SimulatedScrapes(totals, layout, metered, int(EVERY_S * 1e9), START_S * 10**9, spool)
        workers = [make_worker(SPEC, address) for address in WORKERS]
        core.add_guest(totals)
        runtime = VirtualRuntime([RowSource(SPEC["rows"]), core, *workers, scrapes], core.address)
        runtime.run()
        scrapes.end(runtime.now_ns)
        return core, runtime, "".join(scrapes.texts())


@pytest.fixture(scope="module")
def scraped() -> tuple[Any, VirtualRuntime, Series]:
    """Core and runtime, and (time, value) by series, as the client's parser reads the file.

    One time after the other, because it takes the later points of a histogram for duplicates of the first.
    """
    core, runtime, text = scrape_small()
    lines = text.splitlines()
    times = dict.fromkeys(line.rpartition(" ")[2] for line in lines if not line.startswith("#"))
    series: Series = {}
    for time in times:
        now = [line for line in lines if line.startswith("#") or line.endswith(f" {time}")]
        for family in PARSER.text_string_to_metric_families("\n".join([*now, ""])):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                series.setdefault(key, []).append((float(sample.timestamp), float(sample.value)))
    return core, runtime, series


def test_each_family_and_each_series_stands_in_one_piece() -> None:
    lines = scrape_small()[2].splitlines()
    assert lines[-1] == "# EOF"
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    runs = [name for name, _ in groupby(line.split("{")[0].split(" ")[0] for line in lines if line[0] != "#")]
    histograms = {line.split()[2] for line in heads if line.endswith(" histogram")}
    plain = [name for name in runs if not any(name.startswith(f"{histogram}_") for histogram in histograms)]
    assert len(plain) == len(set(plain))


def test_every_series_has_every_sample_in_order(scraped: tuple[Any, VirtualRuntime, Series]) -> None:
    _, runtime, series = scraped
    span_s = runtime.now_ns / 1e9
    expected = [START_S + EVERY_S * index for index in range(int(span_s / EVERY_S) + 1)]
    for points in series.values():
        times = [at_s for at_s, _ in points]
        assert times[: len(expected)] == pytest.approx(expected)
        assert times[-1] == pytest.approx(START_S + span_s, abs=0.0011)
        assert times == sorted(set(times))


def test_counters_never_fall_and_end_at_the_totals(scraped: tuple[Any, VirtualRuntime, Series]) -> None:
    core, runtime, series = scraped
    for (name, _), points in series.items():
        if name.endswith(("_total", "_bucket", "_count")):
            values = [value for _, value in points]
            assert values == sorted(values), name

    def last(name: str, **labels: str) -> float:
        return series[name, frozenset(labels.items())][-1][1]

    table = core.table
    assert last("supernode_requests_arrived_total") == table.num_requests
    assert last("supernode_requests_ended_total", outcome="finished", reason="stop") == table.num_requests
    assert last("supernode_generation_tokens_total") == sum(table.output_tokens[: table.num_requests])
    assert last("supernode_e2e_request_latency_seconds_count") == table.num_requests
    assert last("supernode_emulated_seconds_total") == pytest.approx(runtime.now_ns / 1e9)


def test_idle_instances_are_asked_so_that_energy_rises_evenly(scraped: tuple[Any, VirtualRuntime, Series]) -> None:
    _, _, series = scraped
    points = series[
        "supernode_instance_energy_joules_total", frozenset({("instance", "prefill-0"), ("role", "prefill")})
    ]
    assert all(later > earlier for (_, earlier), (_, later) in pairwise(points[:-1]))


def test_a_scraped_run_is_the_same_run() -> None:
    core = make_core(SPEC)
    workers = [make_worker(SPEC, address) for address in WORKERS]
    VirtualRuntime([RowSource(SPEC["rows"]), core, *workers], core.address).run()
    assert stamps(core.table) == stamps(scrape_small()[0].table)
