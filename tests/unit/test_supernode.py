"""The module `supernode`: its numbers are those of the commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import supernode
from deploy.cli import main

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.jsonl")


def test_a_replay_is_that_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = supernode.replay(DEMO, policy="least_loaded", slo="ttft=100ms", limit=120, rate_scale=8.0)
    arguments = ["replay", DEMO, "--policy", "least_loaded", "--slo", "ttft=100ms", "--limit", "120"]
    assert main([*arguments, "--rate-scale", "8", "--json", "--out", str(tmp_path / "command")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {**run.summary, "wall_s": 0} == {**told, "wall_s": 0}
    assert run["ttft_s.p99"] == told["ttft_s"]["p99"]
    with pytest.raises(KeyError, match=r"ttft_s\.p98: no such path"):
        run["ttft_s.p98"]
    rows = list(csv.DictReader((tmp_path / "command" / "requests.csv").read_text().splitlines()))
    assert list(rows[0]) == list(run.requests)
    assert [row["prefill_instance"] for row in rows] == run.requests["prefill_instance"].tolist()
    assert [float(row["e2e_s"]) for row in rows] == pytest.approx(run.requests["e2e_s"].tolist())
    page = run.report(str(tmp_path / "run"))
    assert "least_loaded" in page.read_text()
    assert (tmp_path / "run" / "requests.csv").read_bytes() == (tmp_path / "command" / "requests.csv").read_bytes()
    assert "TTFT" in repr(run)


def test_decisions_say_who_was_told_to_begin_with_what_and_why() -> None:
    run = supernode.replay(DEMO, limit=40)
    decisions = run.decisions
    assert sorted(decisions["request_id"][decisions["stage"] == "prefill"].tolist()) == list(range(40))
    assert np.all(np.diff(decisions["at_ns"]) >= 0)
    chosen = dict(zip(decisions["request_id"].tolist(), decisions["instance"].tolist(), strict=True))
    assert chosen == dict(enumerate(run.requests["decode_instance"].tolist()))  # decode is decided after prefill
    assert {reason.partition(":")[0] for reason in decisions["reason"].tolist()} == {"cloudmatrix"}


def test_a_comparison_has_the_figures_and_verdicts_of_all() -> None:
    compared = supernode.compare(DEMO, policy=["cloudmatrix", "random"], jobs=1, limit=300, rate_scale=20.0)
    assert compared.names == ["cloudmatrix", "random"]
    p90_s = compared.figures("ttft_s.p90")
    assert p90_s["random"] > p90_s["cloudmatrix"] == compared["cloudmatrix"]["ttft_s.p90"]
    verdicts = compared["random"].verdicts
    assert verdicts is not None
    assert verdicts.figures["ttft_s.mean"].verdict == "worse"
    assert compared["cloudmatrix"].verdicts is None
    assert "TTFT p50" in repr(compared)


@pytest.mark.parametrize(
    ("keywords", "line"),
    [
        ({"polcy": "random"}, "polcy is not known here; did you mean policy?"),
        ({"limit": "3"}, "limit is '3'; give a valid integer"),
        ({"policy": "randon"}, "policy"),
        ({"rate_scale": -1.0}, "rate-scale is -1.0; give a factor from"),
    ],
)
def test_a_mistake_is_one_line(keywords: dict[str, supernode.Keyword], line: str) -> None:
    with pytest.raises(supernode.InputError) as caught:
        supernode.replay(DEMO, **keywords)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
