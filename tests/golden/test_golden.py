"""What the command line shows on the virtual clock is what it showed when it was recorded (`record.py`).

`SUPERNODE_GOLDEN_STRICT=1` holds every byte of it; otherwise floats may differ in the last bits.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.golden.case import Case, by_name, run_case
from tests.golden.cases import CASES, FOLDER_OF
from tests.golden.comparing import differences, dumps, message
from tests.golden.record import EXPECTED

STRICT = os.environ.get("SUPERNODE_GOLDEN_STRICT") == "1"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case, tmp_path: Path) -> None:
    expected = (EXPECTED / FOLDER_OF[case.name] / f"{case.name}.json").read_text(encoding="utf-8")
    found = dumps(run_case(case, tmp_path))
    differing = list(differences(json.loads(expected), json.loads(found)))
    assert not differing, "\n" + message(case.name, differing)
    if STRICT:
        assert found == expected


def test_every_expected_result_has_its_case() -> None:
    assert {path.stem: path.parent.name for path in EXPECTED.glob("*/*.json")} == FOLDER_OF
    assert len(by_name(CASES)) == len(CASES)


def test_a_difference_is_told_by_its_path() -> None:
    expected = {"a": [1, {"b": 0.5, "gone": "x"}], "sha256_exact": "1"}
    found = {"a": [1.0, {"b": 0.5000001, "new": None}], "sha256_exact": "2"}
    assert list(differences(expected, found)) == [
        "a[0]: expected 1, found 1.0",
        "a[1].b: expected 0.5, found 0.5000001",
        'a[1].gone: expected "x", but it is missing',
        "a[1].new: not expected, found null",
    ]


def test_the_last_bits_of_a_float_are_no_difference() -> None:
    assert not list(differences({"a": 0.1 + 0.2}, {"a": 0.3}))
    assert list(differences({"a": 0.3 * (1 + 1e-11)}, {"a": 0.3}))
