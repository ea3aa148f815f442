"""Entries survive the way to plain data and back; a user's own is held to the same shape."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips.chip import Chip
from sim_hw.chips.nvidia import H100
from sim_hw.chips.sheet import find_chip
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H100_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.description import USER_SOURCE, describe, read_description
from sim_hw.errors import DescriptionError
from sim_hw.figure import Confidence
from tests.unit.sim_hw.json_values import ANY_VALUE
from tests.unit.sim_hw.known import CHIPS, SUPERNODES

BARE: dict[str, Any] = {
    "name": "mine",
    "title": "My chip",
    "die": {
        "peak": {"bf16": 9.89e14},
        "hbm_bytes": 80e9,
        "hbm_bytes_per_s": 3.35e12,
        "scale_up_bytes_per_s": 450e9,
        "scale_out_bytes_per_s": 50e9,
    },
    "num_dies": 1,
    "scale_up_network": "NVLink",
    "scale_up_domain_npus": 8,
    "tdp_w": 700,
    "idle_w": 70,
}


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_a_supernode_survives_the_way_to_plain_data_and_back(supernode: Supernode) -> None:
    assert read_description(Supernode, describe(supernode), find_chip) == supernode


@pytest.mark.parametrize("chip", CHIPS, ids=lambda one: one.name)
def test_a_chip_survives_the_way_to_plain_data_and_back(chip: Chip) -> None:
    assert read_description(Chip, describe(chip), find_chip) == chip


def test_a_bare_number_is_an_estimate_of_the_user() -> None:
    figure = read_description(Chip, BARE, find_chip).die.hbm_bytes
    assert (figure.value, figure.unit, figure.source, figure.confidence) == (
        80e9,
        "B",
        USER_SOURCE,
        Confidence.ESTIMATE,
    )


def test_a_cluster_may_name_its_chip() -> None:
    described = {**describe(H100_CLUSTER), "chip": "h100"}
    assert read_description(Supernode, described, find_chip) == H100_CLUSTER


@pytest.mark.parametrize(("name", "factor"), [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15)])
def test_a_prefix_of_a_unit_multiplies(name: str, factor: float) -> None:
    described = deepcopy(BARE)
    described["die"]["hbm_bytes_per_s"] = {"value": 3e12 / factor, "unit": f"{name}B/s"}
    described["die"]["peak"]["int8"] = {"value": 2e15 / factor, "unit": f"{name}OP/s"}
    die = read_description(Chip, described, find_chip).die
    assert (die.hbm_bytes_per_s.value, die.hbm_bytes_per_s.unit) == (3e12, "B/s")
    assert die.peak.int8 is not None
    assert (die.peak.int8.value, die.peak.int8.unit) == (2e15, "FLOP/s")


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("die.hbm_byte", 5, "die.hbm_byte is not known here; did you mean hbm_bytes"),
        ("colour", "red", "colour is not known here; known: name, title"),
        ("die.hbm_bytes", None, "die.hbm_bytes is missing; give it"),
        ("die", 5, "die is 5; give a section of settings"),
        ("tdp_w", "700", "tdp_w is '700'; give a number"),
        ("tdp_w", "7e2", "tdp_w is '7e2'; give a number, with a point and a signed exponent, such as 5.0e+11"),
        ("tdp_w", True, "tdp_w is True; give a number"),
        ("tdp_w", -1, "tdp_w is -1; give a number above 0"),
        ("tdp_w", 0, "tdp_w is 0; give a number above 0"),
        ("tdp_w", float("nan"), "tdp_w is nan; give a number"),
        ("tdp_w", [1], "tdp_w is [1]; give a number"),
        ("tdp_w", {"unit": "W"}, "tdp_w.value is missing; give a number"),
        ("tdp_w", {"value": 1, "unit": "J"}, "tdp_w.unit is 'J'; give W, or k, M, G, T, P before it"),
        ("die.peak.bf16", {"value": 1, "unit": "XFLOP/s"}, "die.peak.bf16.unit is 'XFLOP/s'; give FLOP/s"),
        ("tdp_w", {"value": 1, "sorce": "x"}, "tdp_w.sorce is not known here; did you mean source?"),
        ("tdp_w", {"value": 1, "source": 5}, "tdp_w.source is 5; give a text"),
        ("tdp_w", {"value": 1, "confidence": "sure"}, "tdp_w.confidence is 'sure'; give two_sources or one_source"),
        ("num_dies", 1.5, "num_dies is 1.5; give a whole number"),
        ("num_dies", 0, "num_dies is 0; give a number above 0"),
        ("num_dies", 10**9, "num_dies is 1e+09; give a whole number up to 10,000,000"),
        ("name", "", "name is ''; give a text"),
        (
            "die.hbm_bytes_per_s",
            1.6,
            "die.hbm_bytes_per_s is 1.6 B/s; give a number from 1e+08 B/s to 1e+15 B/s, or one with its prefix, such "
            "as {value: 1.6, unit: TB/s}",
        ),
        (
            "die.hbm_bytes_per_s",
            {"value": 1.6, "unit": "PB/s"},
            "die.hbm_bytes_per_s is 1.6e+15 B/s; give a number from",
        ),
        ("die.peak.bf16", 989, "die.peak.bf16 is 989 FLOP/s; give a number from 1e+09 FLOP/s to 1e+19 FLOP/s, or one"),
        ("die.hbm_bytes", 80, "die.hbm_bytes is 80 B; give a number from 1e+08 B to 1e+14 B, or one with its prefix"),
        ("die.scale_up_bytes_per_s", 450, "die.scale_up_bytes_per_s is 450 B/s; give a number from 1e+06 B/s"),
        ("die.scale_out_bytes_per_s", 50, "die.scale_out_bytes_per_s is 50 B/s; give a number from 1e+06 B/s"),
        ("tdp_w", {"value": 700, "unit": "kW"}, "tdp_w is 700000 W; give a number from 1 W to 100000 W"),
        ("tdp_w", 0.7, "tdp_w is 0.7 W; give a number from 1 W to 100000 W, or one with its prefix"),
        ("idle_w", 701, "idle_w is 701 W, above the 700 W of tdp_w; give at most 700 W"),
        ("resident_w", 900, "resident_w is 900 W, above the 700 W of tdp_w; give at most 700 W"),
        ("resident_w", 60, "idle_w is 70 W, above the 60 W of resident_w; give at most 60 W"),
        ("num_dies", 65, "num_dies is 65; give a number from 1 to 64"),
        ("scale_up_domain_npus", 2_000_000, "scale_up_domain_npus is 2e+06; give a number from 1 to 1e+06"),
    ],
)
def test_what_cannot_be_used_in_a_chip_is_named(path: str, value: object, problem: str) -> None:
    described = deepcopy(BARE)
    *sections, key = path.split(".")
    inner = described
    for section in sections:
        inner = inner[section]
    inner[key] = value
    with pytest.raises(DescriptionError) as caught:
        read_description(Chip, described, find_chip)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"parts": 5}, "parts is 5; give a list"),
        ({"parts": [{"title": "x"}]}, "parts.0.kind is missing"),
        (
            {"power": {"cpu": {"provisioned_w": 200, "busy_w": 150, "idle_w": 180}}},
            "power.cpu.idle_w is 180 W, above the 150 W of busy_w; give at most 150 W",
        ),
        (
            {"other_ports": [{"plane": "vpc", "endpoint": "node", "bytes_per_s": 50}]},
            "other_ports.0.bytes_per_s is 50 B/s; give a number from 1e+06 B/s",
        ),
        ({"other_ports": [{"plane": "ib"}]}, "other_ports.0.plane is 'ib'; give ub or rdma or vpc"),
        ({"defaults": {"plan": "1x8p+1x8d", "precision": "fp9"}}, "defaults.precision is 'fp9'; give bf16 or fp16"),
        (
            {"defaults": {**describe(H100_CLUSTER.defaults), "prefill": {"num_npus": 0}}},
            "defaults.prefill.num_npus is 0",
        ),
    ],
)
def test_what_cannot_be_used_in_a_supernode_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        read_description(Supernode, {**describe(H100_CLUSTER), **change}, find_chip)
    assert str(caught.value).startswith(problem)


def test_every_figure_of_a_chip_has_bounds_that_all_known_chips_keep() -> None:
    """A figure that is a millionth of itself, as one without its prefix is, is refused in every field."""

    def figures(value: Any, path: tuple[str, ...] = ()) -> Any:
        for key, inner in value.items():
            if isinstance(inner, dict) and "value" in inner:
                yield (*path, key)
            elif isinstance(inner, dict):
                yield from figures(inner, (*path, key))

    for chip in CHIPS:
        for path in figures(describe(chip)):
            described = describe(chip)
            inner = described
            for key in path:
                inner = inner[key]
            inner["value"] *= 1e12
            with pytest.raises(DescriptionError) as caught:
                read_description(Chip, described, find_chip)
            assert caught.value.field.startswith(".".join(path))


def test_an_optional_figure_may_be_left_out() -> None:
    assert read_description(Chip, BARE, find_chip).price_usd is None
    assert H100.price_usd is not None


@given(data=st.data(), value=ANY_VALUE)
def test_any_value_in_any_place_is_taken_or_named(data: st.DataObject, value: Any) -> None:
    described = describe(CLOUDMATRIX384)
    inner: Any = described
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = value
    with suppress(DescriptionError):
        taken = read_description(Supernode, described, find_chip)
        assert read_description(Supernode, describe(taken), find_chip) == taken
