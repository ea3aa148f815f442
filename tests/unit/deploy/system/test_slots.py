"""Where instances may be started beside those of the plan."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError


def blueprint(**settings: Any) -> Blueprint:
    return Blueprint(load_settings(None, {"autoscaler": "threshold", **settings}), 512)


def places(made: Blueprint, role: str) -> list[tuple[int, int, bool]]:
    """First NPU, NPUs and whether it is there at first, of the instances of a role."""
    return [
        (spec.first_npu, spec.num_npus, spec.address not in made.absent) for spec in made.instances if spec.role == role
    ]


def test_instances_of_a_role_lie_side_by_side_on_all_npus() -> None:
    made = blueprint(plan="14x16p+1x160d+48c")
    prefill = places(made, "prefill")
    assert prefill[:14] == [(16 * i, 16, True) for i in range(14)]
    assert prefill[14:] == [(224 + 16 * i, 16, False) for i in range(10)]
    # The second decode instance ends where the first begins.
    assert places(made, "decode") == [(224, 160, True), (64, 160, False)]
    assert [one.address for one in made.prefill_infos()] == [f"prefill-{i}" for i in range(24)]


def test_each_supernode_has_places_of_its_own() -> None:
    made = blueprint(plan="2*(14x16p+1x160d+48c)")
    decode = places(made, "decode")
    assert decode == [(224, 160, True), (384 + 224, 160, True), (64, 160, False), (384 + 64, 160, False)]
    supernodes = [spec.supernode for spec in made.instances if spec.role == "decode"]
    assert supernodes == [0, 1, 0, 1]


def test_there_are_as_many_as_asked_for() -> None:
    made = blueprint(plan="14x16p+1x160d+48c", autoscaler_max="prefill=16,decode=1")
    assert len(places(made, "prefill")) == 16
    assert len(places(made, "decode")) == 1


def test_where_only_some_may_be_they_stand_on_spare_npus() -> None:
    made = blueprint(plan="4x16p+1x32d+2c", autoscaler_max="prefill=6,decode=1")
    assert places(made, "decode") == [(64, 32, True)]
    assert places(made, "prefill")[4:] == [(96, 16, False), (112, 16, False)]


def test_aggregated_instances_have_places_like_others_and_share_npus_with_them() -> None:
    alone = blueprint(plan="4x16a+16c")
    assert places(alone, "aggregated") == [(16 * i, 16, i < 4) for i in range(24)]
    assert not alone.prefill
    assert [one.address for one in alone.decode_infos()] == [f"aggregated-{i}" for i in range(24)]
    mixed = blueprint(plan="4x16p+1x32d+2x32a+16c", autoscaler_max="prefill=4,decode=2,aggregated=3")
    assert places(mixed, "aggregated") == [(96, 32, True), (128, 32, True), (160, 32, False)]
    assert places(mixed, "decode") == [(64, 32, True), (160, 32, False)]
    assert [one.address for one in mixed.prefill_infos()] == [
        *(f"prefill-{i}" for i in range(4)),
        *(f"aggregated-{i}" for i in range(3)),
    ]


@pytest.mark.parametrize("setting", ["autoscaler_min", "autoscaler_max"])
@pytest.mark.parametrize(
    ("plan", "role", "had"),
    [
        ("14x16p+1x160d+48c", "aggregated", "prefill and decode"),
        ("8x16a+16c", "decode", "aggregated"),
        ("4x16p+2x32a+16c", "decode", "prefill and aggregated"),
    ],
)
def test_bounds_of_a_role_that_the_plan_does_not_have_name_what_it_has(
    setting: str, plan: str, role: str, had: str
) -> None:
    with pytest.raises(ConfigError) as error:
        blueprint(plan=plan, **{setting: f"{role}=2"})
    assert str(error.value) == f"{setting}: {role}=2, and plan {plan!r} has no such instances; it has {had}"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"autoscaler_max": "prefill=3"}, "the plan has 14 such instances; give at least that"),
        ({"autoscaler_min": "decode=3"}, "there is room for 2; give fewer"),
        ({"autoscaler_max": "prefil=3"}, "did you mean prefill"),
        ({"autoscaler_max": "all=3"}, "unknown role 'all'; known: prefill, decode, aggregated; write counts by role"),
        ({"autoscaler_max": "prefill=0"}, "prefill=0 leaves nobody"),
        ({"autoscaler_max": "prefill=x"}, "is no count; write counts by role such as"),
        ({"autoscaler_max": "prefill=20,prefill=21"}, "prefill is given twice"),
        ({"autoscaler": "thresold"}, "did you mean threshold"),
        ({"autoscaler": "threshold:rest=1"}, "rest=1 is no share"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        blueprint(plan="14x16p+1x160d+48c", **settings)
    assert "\n" not in str(error.value)


def test_without_an_autoscaler_nothing_is_added() -> None:
    made = blueprint(autoscaler="static")
    assert not made.absent
    assert made.make_core().state.config.scaling is None
