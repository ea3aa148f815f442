"""`supernode calibrate`, and the commands that take what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from tests.source_files import ROOT

Captured = pytest.CaptureFixture[str]

ROWS = str(ROOT / "examples" / "calibration" / "sglang-910c.yaml")
POINT = ["--npus", "16", "--ep", "32", "--mtp", "2", "--overlap", "none", "--reserve", "0.03"]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the rows that ship."""
    path = tmp_path_factory.mktemp("calibrate") / "own.json"
    assert main(["calibrate", ROWS, "--out", str(path)]) == 0
    return str(path)


def ask(capsys: Captured, *arguments: str) -> dict[str, Any]:
    """The answer of a command as JSON."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_document_has_residuals_constants_and_what_to_measure(capsys: Captured) -> None:
    (chip,) = ask(capsys, "calibrate", ROWS)["chips"].values()
    assert [row["name"] for row in chip["residuals"]] == ["832 in flight", "32 in flight", "low latency"]
    for row in chip["residuals"]:
        assert row["error_after"] == pytest.approx(row["after"] / row["measured"] - 1)
        assert abs(row["error_after"]) < abs(row["error_before"])
    told = chip["constants"]["request_s"]
    assert told["prior"] < told["value"]
    assert told["spread"] < told["prior_spread"]
    assert told["source"]
    befores = {one["mean_spread_before"] for one in chip["next"]}
    afters = [one["mean_spread_after"] for one in chip["next"]]
    assert len(befores) == 1
    assert afters == sorted(afters)
    assert afters[0] < befores.pop()


def test_the_page_shows_the_same(capsys: Captured) -> None:
    assert main(["calibrate", ROWS]) == 0
    page = capsys.readouterr().out
    for part in ("Measured on ascend-910c", "832 in flight", "request_s", "hardly told", "Measure next"):
        assert part in page
    assert "error" in page


def test_model_answers_with_the_constants_and_their_interval(capsys: Captured, profile: str) -> None:
    load = ["--batch", "38", "--context", "4250", "--accept-length", "2.55"]
    before = ask(capsys, "model", "decode", *POINT, *load)
    after = ask(capsys, "model", "decode", *POINT, *load, "--calibration", profile)
    assert after["tpot_s"] == pytest.approx(0.0481, rel=0.05)
    assert before["tpot_s"] < 0.7 * after["tpot_s"]
    for answer in (before, after):
        low, high = answer["interval_90"]["tpot_s"]
        assert low < answer["tpot_s"] < high
        assert high / answer["tpot_s"] - 1 == pytest.approx(answer["error_bar"])
    assert after["interval_90"]["tpot_s"][0] < 0.0481 < after["interval_90"]["tpot_s"][1]


@pytest.mark.parametrize("asked", [["prefill"], ["op", "dispatch"]])
def test_other_questions_take_it_too(capsys: Captured, profile: str, asked: list[str]) -> None:
    before, after = ask(capsys, "model", *asked), ask(capsys, "model", *asked, "--calibration", profile)
    assert after["error_bar"] != before["error_bar"]
    assert ask(capsys, "model", "prefill", "--cluster", "h800-cluster")["interval_90"]


def test_model_refuses_another_chip(capsys: Captured, profile: str) -> None:
    assert main(["model", "decode", "--cluster", "h800-cluster", "--calibration", profile]) == 2
    assert "the calibration is of ascend-910c" in capsys.readouterr().err


def test_validate_predicts_the_points_of_that_chip_with_it(capsys: Captured, profile: str) -> None:
    before, after = ask(capsys, "validate"), ask(capsys, "validate", "--calibration", profile)
    assert abs(after["published"]["sgl-a3-r1-2p1d-conc832"]["error"]) < 0.05
    of_another_engine = "cm-decode-2048-256"
    assert abs(before["published"][of_another_engine]["error"]) < 0.05
    assert after["published"][of_another_engine]["error"] > 0.5
    others = {name for name, row in before["published"].items() if row["chip"] != "ascend-910c"}
    assert others
    for other in others:
        assert after["published"][other] == before["published"][other]


def test_a_file_that_cannot_be_written_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    assert main(["calibrate", ROWS, "--out", str(tmp_path / "none" / "own.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "own.json" in line
