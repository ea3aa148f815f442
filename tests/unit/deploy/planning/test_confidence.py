"""What an error of the hardware model leaves of an answer."""

from __future__ import annotations

import pytest

from deploy.compare.measure import measure
from deploy.planning.confidence import LEVELS, UNTRIED, confidence, slowdowns, slowed
from deploy.run.replay import ReplayJob
from deploy.settings.load import load_settings
from scheduler.sources.traces.options import TraceOptions

OPTIONS = TraceOptions(limit=200, rate_scale=4.0)


def test_the_last_slowdown_is_the_end_of_the_error_bar() -> None:
    found = slowdowns(0.3)
    assert found == sorted(found)
    assert found[0] > 1
    assert found[-1] == pytest.approx(1.3, rel=1e-4)


def test_slower_hardware_has_more_to_do_and_less_time() -> None:
    settings, options = slowed(load_settings(None, {"slo": "ttft=2s,tpot=50ms"}), OPTIONS, 1.25)
    slo = settings.requests.slo
    assert slo is not None
    assert (slo.ttft_s, slo.tpot_s, slo.e2e_s) == (pytest.approx(1.6), pytest.approx(0.04), None)
    assert options.rate_scale == 5.0


def test_a_tpot_that_just_holds_does_not_hold_on_slower_hardware() -> None:
    """What a faster trace alone does not show, as there is room for more requests."""
    plain = load_settings(None, {"plan": "8x16p+1x160d+24c"})
    run = measure(ReplayJob("examples/demo.jsonl", OPTIONS, plain)).document
    settings = plain.changed(slo=f"tpot={1e3 * run['tpot_s']['p99']:.6f}ms")
    faster = TraceOptions(limit=200, rate_scale=OPTIONS.rate_scale * 1.3)
    assert measure(ReplayJob("examples/demo.jsonl", faster, settings)).attainment > 0.9
    changed, options = slowed(settings, OPTIONS, 1.3)
    assert measure(ReplayJob("examples/demo.jsonl", options, changed)).attainment < 0.5


@pytest.mark.parametrize(
    ("attained", "sure"),
    [((0.9, 0.9, 0.9), UNTRIED), ((0.99, 0.98, 0.99), LEVELS[0]), ((1.0, 1.0, 1.0), LEVELS[2])],
)
def test_an_answer_is_as_sure_as_the_slowest_hardware_it_serves_on(attained: tuple[float, ...], sure: float) -> None:
    assert confidence(attained, 0.99) == sure
