"""Prediction errors among the numbers of a run."""

from __future__ import annotations

import pytest

from deploy.run.prediction import Prediction
from deploy.run.replay import empty_document
from deploy.settings.settings import Settings


@pytest.mark.parametrize(("admission", "is_told"), [("always", False), ("shedding", False), ("slo_early_reject", True)])
def test_only_where_times_are_predicted_their_error_is_told(admission: str, is_told: bool) -> None:
    document = empty_document(Settings.from_plain({"admission": admission, "slo": "ttft=2s"}), live=False)
    assert ("prediction" in document) == is_told


def test_numbers_are_rounded() -> None:
    assert Prediction(-0.123456789123, 0.5, 0.25, 0.75).to_json() == {
        "ttft_bias": -0.123456789,
        "ttft_mean_absolute_error": 0.5,
        "tpot_bias": 0.25,
        "tpot_mean_absolute_error": 0.75,
    }
