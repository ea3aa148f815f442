"""`supernode policies`, and the page that tells of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from scheduler.policies import ROUTING
from scheduler.policies.admission import ADMISSIONS
from scheduler.policies.disaggregation import DISAGGREGATIONS
from scheduler.policies.ordering import ORDERS
from scheduler.policies.registry import CACHING, SCALING

PAGE = Path(__file__).parents[4] / "docs" / "policies.md"


def test_all_are_listed_with_formula_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies"]) == 0
    page = capsys.readouterr().out
    assert main(["policies", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = [*ROUTING, *ADMISSIONS, *ORDERS, *CACHING, *DISAGGREGATIONS, *SCALING]
    assert [row["name"] for row in listed] == names
    assert [row["kind"] for row in listed].count("admission") == len(ADMISSIONS)
    assert (
        page.index("ROUTING")
        < page.index("ADMISSION")
        < page.index("ORDER\n")
        < page.index("CACHE POLICY\n")
        < page.index("AUTOSCALER\n")
    )
    for row in listed:
        assert f"{row['name']} ({row['chooses']})\n  {row['formula']}\n  source: {row['source']}\n" in page
    dynamo = next(row for row in listed if row["name"] == "dynamo_kv")
    assert dynamo["options"]["overlap_credit"] == 1.0
    assert "options: overlap_credit=1, prefill_load_scale=1" in page


def test_the_page_has_the_table_of_all() -> None:
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == len(ROUTING)
    for row, known in zip(rows, ROUTING.values(), strict=True):
        name, formula, options, source = row.strip("|").split(" | ")
        assert (name.strip(" `"), formula, source.strip()) == (known.name, known.formula, known.source)
        assert [option.strip(" `").split("=")[0] for option in options.split(",") if option.strip()] == [*known.options]
