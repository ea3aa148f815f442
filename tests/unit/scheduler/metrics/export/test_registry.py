"""The families as collectors of prometheus_client."""

from __future__ import annotations

import sys

import pytest

from scheduler.metrics.export.registry import process_registry, snapshot_registry
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of, made_up_snapshot


def test_it_answers_the_latest_snapshot() -> None:
    layout = layout_of(PREFILL, DECODE)
    latest = made_up_snapshot(layout, 7)
    registry = snapshot_registry(lambda: latest)
    assert registry.get_sample_value("supernode_requests_arrived_total") == 700
    latest = made_up_snapshot(layout, 8)
    assert registry.get_sample_value("supernode_requests_arrived_total") == 800
    assert registry.get_sample_value("supernode_inter_token_latency_seconds_bucket", {"le": "0.0215"}) == 24


@pytest.mark.skipif(sys.platform != "linux", reason="CPU and memory are read from /proc")
def test_it_knows_the_process() -> None:
    assert (process_registry().get_sample_value("process_resident_memory_bytes") or 0) > 1e6
