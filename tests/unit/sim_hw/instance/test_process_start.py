"""What nobody has published is named as an estimate, and is what a run takes unless it is told otherwise."""

from __future__ import annotations

from deploy.settings.settings import Settings
from sim_hw.figure import Confidence
from sim_hw.instance.process_start import PROCESS_START


def test_the_start_of_a_process_is_an_estimate_in_seconds() -> None:
    assert (PROCESS_START.unit, PROCESS_START.confidence) == ("s", Confidence.ESTIMATE)
    assert Settings.from_plain({}).scaling.start_s == PROCESS_START.value
