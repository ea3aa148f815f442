"""The page of metrics is what the code says, and every family is on it."""

from __future__ import annotations

import pytest

from deploy.pages.metrics_page import PATH, page, unit_of
from scheduler.metrics.export.names.schemes import SCHEMES


def test_the_committed_page_is_what_the_code_makes() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run: python -m deploy.pages.metrics_page"


def test_every_family_has_one_row_with_all_its_columns() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    families = [family for scheme in SCHEMES.values() for family in scheme.families()]
    assert [row.split("`")[1] for row in rows] == [family.name for family in families]
    assert not [row for row in rows if "|  |" in row]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("supernode_instance_energy_joules_total", "J"),
        ("supernode_kv_usage_ratio", "ratio"),
        ("supernode_requests_running", "count"),
        ("supernode_build_info", "1"),
    ],
)
def test_units_are_read_from_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit
