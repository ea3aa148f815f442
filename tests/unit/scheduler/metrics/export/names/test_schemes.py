"""Every naming scheme is sound, and those that are asked for are what is exported."""

from __future__ import annotations

import re

import pytest

from scheduler.metrics.export.names.schemes import SCHEMES, default_names, families_of
from scheduler.metrics.family import Family, HistogramFamily
from scheduler.metrics.layout import Layout
from tests.unit.scheduler.metrics.lived import ASCEND, GPU, made_up_snapshot, under_names, whole_supernode

LAYOUTS = {
    name: under_names(whole_supernode(), GPU if scheme.maker == "nvidia" else ASCEND, name)
    for name, scheme in SCHEMES.items()
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_each_series_has_its_labels_and_one_value(layout: Layout) -> None:
    snapshot = made_up_snapshot(layout)
    families = families_of(layout)
    assert len({family.name for family in families}) == len(families) > 0
    for family in families:
        series = family.series(layout)
        numbers = family.values(snapshot) if isinstance(family, Family) else family.read(snapshot)
        assert len(series) == len(set(series)) == len(numbers)
        assert {len(labels) for labels in series} == {len(family.labels)}
        if isinstance(family, HistogramFamily):
            assert {len(totals.counts) for totals in family.read(snapshot)} == {len(family.bounds) + 1}


@pytest.mark.parametrize("name", SCHEMES)
def test_texts_fit_into_an_exposition_and_a_table(name: str) -> None:
    for family in SCHEMES[name].families():
        assert family.help.endswith((".", ")."))
        assert not set(family.help) & set('\\\n"|')
        assert not set(family.meaning) & set("\n|")
        assert bool(family.meaning) == (name != "own"), "what stands behind another's name is said"
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", family.name)


def test_schemes_come_in_one_order_whatever_order_they_are_asked_for() -> None:
    asked = under_names(whole_supernode(), ASCEND, "ascend", "own")
    names = [family.name for family in families_of(asked)]
    assert names[0].startswith("supernode_")
    assert names[-1].startswith("npu_chip_info_")
    assert not [name for name in names if name.startswith("vllm:")]


def test_the_exporter_of_the_chips_is_usual_and_no_other() -> None:
    assert default_names("ascend") == ("own", "vllm", "ascend")
    assert default_names("nvidia") == ("own", "vllm", "dcgm")
    assert default_names("") == ("own", "vllm")
