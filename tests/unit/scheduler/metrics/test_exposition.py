"""What is scraped: it parses, and says what prometheus_client would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from scheduler.metrics.exposition import OPENMETRICS_END, render
from scheduler.metrics.registry import SnapshotCollector
from scheduler.metrics.snapshot import LiveInstance, Snapshot
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of, made_up_snapshot, whole_supernode

# Its openmetrics modules have no types.
OPENMETRICS: Any = openmetrics_exposition
PARSER: Any = openmetrics_parser

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[float, float | None]]


def samples_of(families: Iterable[Metric]) -> Samples:
    """(value, time) of each sample by name and labels."""
    found = [
        ((sample.name, tuple(sorted(sample.labels.items()))), (float(sample.value), sample.timestamp))
        for family in families
        for sample in family.samples
    ]
    samples = dict(found)
    assert len(samples) == len(found)
    return {key: (value, None if at is None else float(at)) for key, (value, at) in samples.items()}


def parse(text: str, *, openmetrics: bool) -> list[Metric]:
    """All families of an exposition, by the parser of its format."""
    if openmetrics:
        return list(PARSER.text_string_to_metric_families(text))
    return list(text_string_to_metric_families(text))


def written_by_the_client(snapshot: Snapshot, *, openmetrics: bool) -> str:
    """The same snapshot by way of a registry."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot))
    return (OPENMETRICS.generate_latest(registry) if openmetrics else generate_latest(registry)).decode()


@pytest.mark.parametrize("openmetrics", [False, True])
def test_both_views_say_the_same(openmetrics: bool) -> None:
    snapshot = made_up_snapshot(whole_supernode())
    ours = parse(render(snapshot, openmetrics=openmetrics), openmetrics=openmetrics)
    theirs = parse(written_by_the_client(snapshot, openmetrics=openmetrics), openmetrics=openmetrics)
    assert samples_of(ours) == samples_of(theirs)
    assert [(f.name, f.type, f.documentation) for f in ours] == [(f.name, f.type, f.documentation) for f in theirs]
    assert len(samples_of(ours)) > 384 * 2


def test_both_formats_say_the_same() -> None:
    snapshot = made_up_snapshot(layout_of(PREFILL, DECODE))
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
        assert samples["supernode_generation_tokens_total", ()] == (1e15 + seconds, None)


@example(name='a "quoted" \\ name\\n of\ntwo lines')
@given(name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1))
def test_any_name_can_be_a_label(name: str) -> None:
    snapshot = made_up_snapshot(layout_of(LiveInstance(name, "decode", 1, 1)))
    for openmetrics in (False, True):
        samples = samples_of(parse(render(snapshot, openmetrics=openmetrics), openmetrics=openmetrics))
        assert ("supernode_instance_up", (("instance", name), ("role", "decode"))) in samples
