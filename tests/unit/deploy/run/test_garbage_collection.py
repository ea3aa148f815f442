"""Collecting seldom costs no memory: a run makes no cycles, and those that others make are collected in the end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from unittest.mock import patch
from weakref import ref

import pytest

from deploy.run import replay
from deploy.run.garbage_collection import ALLOCATIONS, patient_collection, settle, sweep
from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.load import load_settings
from scheduler.runtime.virtual import VirtualRuntime
from scheduler.sources.traces.options import TraceOptions
from tests.unit.deploy.run_folder.made import DEMO


class Cyclic:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.me = self


def num_freed(done: Callable[[], object]) -> int:
    """How many objects a collection frees after something was done, during which there is none."""
    gc.collect()
    gc.disable()
    try:
        done()
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "flags",
    [{}, {"cache": "local"}, {"policy": "cache_aware", "parking": "idle=5s"}, {"max_open_requests": 20}],
    ids=["pool", "local", "parked", "bounded"],
)
def test_a_run_leaves_nothing_to_collect(flags: dict[str, str | int]) -> None:
    numbers: list[int] = []

    class Watched(VirtualRuntime):
        def run(self) -> bool:
            numbers.append(num_freed(super().run))
            return False

    with patch.object(replay, "VirtualRuntime", Watched):
        job = ReplayJob(DEMO, TraceOptions(400, 1, 1.0, 0, False, None), load_settings(None, flags))
        assert len(replay_virtual(job).records.output_tokens) == 400
    assert numbers == [0]
    assert num_freed(lambda: [Cyclic() for _ in range(7)]) >= 7


def test_cycles_that_others_make_are_collected_before_they_are_many() -> None:
    with patient_collection():
        gc.collect()
        first, num_made = ref(Cyclic()), 1
        while first() is not None:
            Cyclic()
            num_made += 1
    assert 1000 < num_made <= ALLOCATIONS


def test_what_held_before_comes_back() -> None:
    before = gc.get_threshold()
    with patient_collection():
        assert gc.get_threshold()[0] == ALLOCATIONS
    assert gc.get_threshold() == before


def test_what_a_process_that_has_settled_drops_in_one_piece_is_swept_away() -> None:
    thresholds = gc.get_threshold()
    settle()
    try:
        piece = Cyclic()
        is_there = ref(piece)
        del piece
        assert is_there() is not None
        sweep()
        assert is_there() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
