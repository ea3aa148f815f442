"""What is scraped: it parses, and says what prometheus_client would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from scheduler.metrics.export.exposition import OPENMETRICS_END, render
from scheduler.metrics.export.registry import SnapshotCollector
from scheduler.metrics.layout import Layout, LiveInstance
from tests.unit.scheduler.metrics.lived import (
    ASCEND,
    DECODE,
    GPU,
    PREFILL,
    layout_of,
    made_up_snapshot,
    under_names,
    whole_supernode,
)

# It has no types.
PARSER: Any = openmetrics_parser

LAYOUTS = {
    "own": whole_supernode(),
    "ascend": under_names(whole_supernode(), ASCEND, "own", "vllm", "ascend", "genai"),
    "nvidia": under_names(whole_supernode(), GPU, "vllm", "dcgm"),
}
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
"""A counter without the usual suffix, which the client would add, and its parser of text does add (Prometheus not)."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, float | None]]


def samples_of(families: Iterable[Metric]) -> Samples:
    """(value, time) of each sample by name and labels."""
    found = [
        ((sample.name.replace(f"{ENERGY}_total", ENERGY), tuple(sorted(sample.labels.items()))), sample)
        for family in families
        for sample in family.samples
    ]
    samples = dict(found)
    assert len(samples) == len(found)
    return {
        key: (float(sample.value), None if sample.timestamp is None else float(sample.timestamp))
        for key, sample in samples.items()
    }


def parse(text: str, *, openmetrics: bool) -> list[Metric]:
    """All families of an exposition, by the parser of its format."""
    if openmetrics:
        return list(PARSER.text_string_to_metric_families(text))
    return list(text_string_to_metric_families(text))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("openmetrics", [False, True])
def test_both_views_say_the_same(layout: Layout, openmetrics: bool) -> None:
    snapshot = made_up_snapshot(layout)
    ours = parse(render(snapshot, openmetrics=openmetrics), openmetrics=openmetrics)
    theirs = list(SnapshotCollector(lambda: snapshot).collect())
    assert samples_of(ours) == samples_of(theirs)
    kinds = {} if openmetrics else {ENERGY: "counter"}
    expected = [(f.name, kinds.get(f.name, f.type), f.documentation) for f in theirs]
    assert [(f.name, f.type, f.documentation) for f in ours] == expected
    assert len(samples_of(ours)) > 384 * 2


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_both_formats_say_the_same(layout: Layout) -> None:
    snapshot = made_up_snapshot(layout)
    text, openmetrics = render(snapshot), render(snapshot, openmetrics=True)
    assert samples_of(parse(text, openmetrics=False)) == samples_of(parse(openmetrics, openmetrics=True))
    assert openmetrics.endswith(f"\n{OPENMETRICS_END}")
    assert OPENMETRICS_END not in text


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_sample_carries_the_time_that_was_given(openmetrics: bool) -> None:
    snapshot = made_up_snapshot(layout_of(PREFILL, DECODE))
    samples = samples_of(
        parse(render(snapshot, openmetrics=openmetrics, timestamp_s=86_400.25), openmetrics=openmetrics)
    )
    assert {at for _, at in samples.values()} == {86_400.25}


def test_numbers_are_those_of_the_snapshot_that_is_given() -> None:
    layout = layout_of(PREFILL, DECODE)
    for seconds in (7, 8):
        samples = samples_of(parse(render(made_up_snapshot(layout, seconds)), openmetrics=False))
        assert samples["supernode_requests_arrived_total", ()] == (100.0 * seconds, None)
        assert samples["supernode_generation_tokens_total", ()] == (1e15 + 59 * seconds, None)


@example(name='a "quoted" \\ name\\n of\ntwo lines')
@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1))
def test_any_name_can_be_a_label(name: str) -> None:
    snapshot = made_up_snapshot(layout_of(LiveInstance(name, "decode", 1, 1)))
    for openmetrics in (False, True):
        samples = samples_of(parse(render(snapshot, openmetrics=openmetrics), openmetrics=openmetrics))
        assert ("supernode_instance_up", (("instance", name), ("role", "decode"))) in samples
