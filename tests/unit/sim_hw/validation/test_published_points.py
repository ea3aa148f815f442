"""Published points of other chips, engines and loads: each is answered, within its bar, or says what is missing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.clusters.sheet import find_supernode
from sim_hw.models.published import find_model
from sim_hw.operators.operating_point import DecodePoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point
from sim_hw.validation.calibration_points import calibration_points
from sim_hw.validation.claims import claims
from sim_hw.validation.published_points import (
    MODEL,
    NOT_PREDICTED,
    PublishedRow,
    published_points,
    published_prediction,
    published_rows,
    relative_error,
)

ROWS = published_rows()
PREDICTED = [row for row in ROWS if row.error is not None]
OF_ONE_STAGE = [row for row in PREDICTED if row.point.stage != "aggregated"]
OF_BOTH_STAGES = [row for row in PREDICTED if row.point.stage == "aggregated"]


def test_points_have_names_of_their_own_and_sources() -> None:
    names = [point.id for point in (*published_points(), *calibration_points())]
    assert len(names) == len(set(names))
    assert all(point.source and 0 < point.low <= point.high for point in published_points())
    assert {row.point.use for row in ROWS} == {"fitted", "checked", NOT_PREDICTED}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.point.id)
def test_a_point_is_predicted_or_says_what_is_missing(row: PublishedRow) -> None:
    assert (row.predicted is None) == (row.point.use == NOT_PREDICTED)
    assert row.predicted is not None or row.point.note


@pytest.mark.parametrize("row", [row for row in ROWS if row.blind_error is not None], ids=lambda row: row.point.id)
def test_a_point_once_predicted_blind_is_within_a_tenth_unless_it_contradicts_another(row: PublishedRow) -> None:
    assert row.error is not None
    if "contradicts" not in row.point.note:
        assert abs(row.error) <= 0.10
    assert abs(row.error) <= 0.11


def test_points_are_met_and_within_the_bar_of_their_chip_and_engine() -> None:
    assert max(abs(row.error or 0.0) for row in OF_ONE_STAGE) < 0.15
    inside = [row for row in PREDICTED if abs(row.error or 0.0) <= (row.error_bar or 0.0)]
    assert len(inside) >= 0.9 * len(PREDICTED)


def test_points_of_another_engine_on_a_chip_are_far_from_the_numbers_of_its_sheet() -> None:
    """Else they would need none of their own."""
    others = [point for point in published_points() if point.under]
    assert {point.under for point in others} == {"sglang"}
    for point in others:
        as_the_sheet = published_prediction(replace(point, under=""), find_supernode(point.cluster))[0]
        assert abs(relative_error(point, as_the_sheet)) > 0.15


def test_points_of_both_stages_in_one_pool_are_within_the_bar() -> None:
    assert len(OF_BOTH_STAGES) == 10
    assert {row.chip for row in OF_BOTH_STAGES} == {"ascend-910b", "b200", "h100", "h200"}
    assert all(abs(row.error or 0.0) <= (row.error_bar or 0.0) for row in OF_BOTH_STAGES)


def test_an_error_is_the_distance_to_the_range() -> None:
    point = replace(published_points()[0], low=2.0, high=4.0)
    assert [relative_error(point, value) for value in (1.0, 2.0, 3.0, 4.0, 6.0)] == [-0.5, 0.0, 0.0, 0.0, 0.5]


def test_the_mean_error_on_what_was_predicted_blind_is_no_worse_than_then() -> None:
    blind = [row for row in ROWS if row.blind_error is not None]
    now, then = (sum(abs(getattr(row, name)) for row in blind) for name in ("error", "blind_error"))
    assert len(blind) == 19
    assert now < then


def test_what_a_block_takes_rules_a_step_of_few_requests_and_little_of_one_of_many() -> None:
    default = default_decode_point(find_supernode("h20-cluster"), find_model(MODEL))
    few = replace(default, batch_per_npu=1, mtp_k=0)
    many = replace(few, batch_per_npu=64)

    def share(point: DecodePoint) -> float:
        busy_s = decode_step(point).step.busy_s
        return (busy_s["attention_launch"] + busy_s["ffn_launch"]) / decode_step(point).step.seconds

    assert share(few) > 0.3 > 0.2 > share(many)


def test_every_claim_has_a_number_and_a_reason() -> None:
    found = claims()
    assert len(found) == 10
    assert all(one.catalogue > 0 and one.why for one in found)
    by_name = {one.what: one.catalogue for one in found}
    assert by_name["arithmetic, BF16"] == pytest.approx(271.8e15, rel=1e-3)
    assert by_name["racks"] == 16
    assert claims("gb200-nvl72") == ()
