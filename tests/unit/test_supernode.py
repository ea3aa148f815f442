"""The module `supernode`: its numbers are those of the commands."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import supernode
from deploy.cli import main
from deploy.sweep.runs import file_digest, measure_run, runs_of
from deploy.sweep.space import read_space
from deploy.sweep.store import Store
from workers.ray_shell.identity import identity

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


def test_a_point_of_the_model_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    found = supernode.model("decode", npus=144, batch=64, context=2048, cluster="cloudmatrix384")
    assert main(["model", "decode", "--npus", "144", "--batch", "64", "--context", "2048", "--json"]) == 0
    assert found == json.loads(capsys.readouterr().out)
    prefill = supernode.model("prefill", prompt=2048, reuse=0.5)
    assert prefill["point"]["prompt"] == 2048
    both = supernode.model("aggregated", npus=32, batch=8, output=256)
    assert (both["point"]["npus"], both["point"]["output"]) == (32, 256)
    with pytest.raises(supernode.ConfigError, match="bach is not known here; give batch"):
        supernode.model("decode", bach=64)
    with pytest.raises(supernode.ConfigError, match="batch is '64'; give a valid integer"):
        supernode.model("decode", batch="64")
    with pytest.raises(supernode.ConfigError, match="reuse is not known here"):  # of the other stage
        supernode.model("decode", reuse=0.5)


def test_a_sweep_that_is_kept_is_read_and_has_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sweep.yaml"
    axes = "vary:\n  rate_scale: [1.0, 8.0]\n  plan: [2x16p+1x64d+8c, 90x16p+1x64d+8c]\n"
    file.write_text(f"trace: {DEMO}\nlimit: 40\nslo: ttft=200ms\n{axes}")
    keep_all_runs(str(file))
    swept = supernode.sweep(str(file))
    assert swept.folder == tmp_path / "sweep"
    assert [point["parameters"]["rate_scale"] for point in swept.results] == [1.0, 1.0, 8.0, 8.0]
    npus = swept.figures("num_npus")
    assert npus[0] == npus[2] > 0
    assert np.isnan(npus[[1, 3]]).all()  # plans that are larger than the cluster
    run = supernode.replay(DEMO, limit=40, slo="ttft=200ms", rate_scale=8.0, plan="2x16p+1x64d+8c")
    assert swept.figures("ttft_s.p90")[2] == run["ttft_s.p90"]
    assert "2 failed" in repr(swept)
    assert "rate_scale" in swept.report().read_text()
    assert main(["sweep", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == swept.summary


def keep_all_runs(file: str) -> None:
    """Runs of a sweep as its tasks make them, in this process and without Ray."""
    space = read_space(file)
    code = [digest for _, digest in identity().values()]
    store = Store(Path(file).with_suffix(""))
    for run in runs_of(space, space.points(), space.trace, f"{file_digest(space.trace)} {code}"):
        if not run.error:
            store.put(run, measure_run(space.trace, run))


def test_a_plan_is_that_of_the_planner() -> None:
    load = "rate=2,prompt=2000,output=100"
    planned = supernode.plan(load, slo="ttft=2s,tpot=100ms", attainment=0.9, jobs=1)
    assert planned.best is not None
    assert planned.best.measured.attainment >= 0.9
    assert planned.best.num_npus == min(one.num_npus for one in planned.serving)
    with pytest.raises(supernode.ConfigError, match="attainment is 2"):
        supernode.plan(load, slo="ttft=2s", attainment=2.0)


def test_a_calibration_is_written_for_others(tmp_path: Path) -> None:
    rows = Path(__file__).parents[2] / "examples" / "calibration" / "sglang-910c.yaml"
    found = supernode.calibrate(str(rows), out=str(tmp_path / "profile.json"))
    (chip,) = found.chips
    assert chip.constants
    usual = supernode.model("decode", batch=16)
    told = supernode.model("decode", batch=16, calibration=str(tmp_path / "profile.json"))
    assert told["tpot_s"] != usual["tpot_s"]


def test_frames_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = supernode.replay(DEMO, limit=5)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="polars is not installed; pip install polars"):
        run.to_polars()
    seen = SimpleNamespace(DataFrame=dict)
    monkeypatch.setitem(sys.modules, "pandas", seen)
    assert list(run.to_pandas()) == list(run.requests)
