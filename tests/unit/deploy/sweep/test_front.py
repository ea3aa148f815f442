"""Which points no other beats, and what is kept of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploy.sweep.front import Point, front, objectives_of, points_of
from deploy.sweep.page import sweep_page
from deploy.sweep.plot import write_sweep_page
from deploy.sweep.runs import Run, measure_run
from deploy.sweep.space import Objective
from deploy.sweep.store import Store

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
OBJECTIVES = [Objective("num_npus", is_maximised=False), Objective("slo.attainment", is_maximised=True)]


def point(npus: int, attainment: float | None) -> Point:
    return Point({"plan": f"{npus}"}, npus, {"slo": {"attainment": attainment}}, {})


@given(values=st.lists(st.tuples(st.integers(1, 5), st.one_of(st.none(), st.integers(0, 5))), max_size=12))
def test_the_front_is_what_nothing_beats_and_beats_all_else(values: list[tuple[int, int | None]]) -> None:
    points = [point(npus, None if attained is None else attained / 5) for npus, attained in values]
    best = front(points, OBJECTIVES)

    def beats(a: int, b: int) -> bool:
        (npus_a, at_a), (npus_b, at_b) = values[a], values[b]
        return at_a is not None and at_b is not None and npus_a <= npus_b and at_a >= at_b and values[a] != values[b]

    known = [at for at, (_, attained) in enumerate(values) if attained is not None]
    assert set(best) <= set(known)
    assert not any(beats(other, at) for at in best for other in known)
    assert all(any(beats(at, other) for at in best) for other in known if other not in best)


def run_of(name: str, at: int = 0, seed: int = 0, **settings: Any) -> Run:
    return Run(name, at, seed, {"plan": "2x16p+1x64d+8c", **settings}, {"limit": 30, "superpose": 1, "rate_scale": 1.0})


def test_a_result_has_the_same_bytes_each_time_and_a_failure_is_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = run_of("one", slo="ttft=1s")
    assert store.get(run) is None
    store.put(run, measure_run(DEMO, run))
    data = (tmp_path / "runs" / "one.json").read_bytes()
    store.put(run, measure_run(DEMO, run))
    assert (tmp_path / "runs" / "one.json").read_bytes() == data
    result = store.get(run)
    assert result is not None
    assert result["num_npus"] == 96
    assert "wall_s" not in result["run"]
    assert "no such file" in measure_run("absent.jsonl", run)["error"].lower()
    (tmp_path / "runs" / "one.json").write_bytes(data[:-20])  # as a disk that was full may leave it
    assert store.get(run) is None


def test_figures_of_a_point_are_means_over_its_seeds() -> None:
    runs = [run_of(str(seed), 0, seed, policy="random") for seed in (1, 2)] + [run_of("bad", 1)]
    results: dict[str, dict[str, Any]] = {run.name: measure_run(DEMO, run) for run in runs[:2]}
    results["bad"] = {"error": "of its own"}
    good, bad = points_of([{"policy": "random"}, {"policy": "x"}], runs, results)
    p50_s = [results[name]["run"]["ttft_s"]["p50"] for name in ("1", "2")]
    assert good.figure("ttft_s.p50") == sum(p50_s) / 2
    assert good.figure("num_npus") == 96
    assert (bad.errors, bad.figure("num_npus"), bad.figure("ttft_s.p50")) == (["of its own"], None, None)
    assert "slo.attainment" not in [one.path for one in objectives_of([good, bad], [])]


def test_a_page_shows_the_front_first_and_says_what_failed(tmp_path: Path) -> None:
    points = [point(9, 0.5), point(3, 0.5), Point({"plan": "<b>"}, 0, {}, {}, ["no room"])]
    best = front(points, OBJECTIVES)
    page = sweep_page(points, OBJECTIVES, best, "title")
    assert [line.split()[0] for line in page.splitlines()[3:5]] == ["*", "9"]
    assert "failed: plan <b>: no room" in page
    text = Path(write_sweep_page(tmp_path, points, OBJECTIVES, best, "title")).read_text()
    assert "&lt;b&gt;" in text
    assert "<b>" not in text.split("</script></head>")[1]
