"""What a sweep's file may say, and the points that it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.sweep.runs import file_digest, runs_of
from deploy.sweep.space import Range, Space, read_space
from scheduler.protocol.errors import ConfigError

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
GRID = """
limit: 10
policy: random
vary:
  plan: [2x16p+1x64d+8c, 4x16p+1x64d+8c]
  rate_scale: [1.0, 2.0, 4.0]
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a file of a text, with a trace."""

    def write_file(text: str) -> str:
        path = tmp_path / "sweep.yaml"
        path.write_text(f"trace: {DEMO}\n{text.lstrip()}")
        return str(path)

    return write_file


def test_a_grid_is_every_combination_the_last_name_quickest(write: Write) -> None:
    points = read_space(write(GRID)).points()
    assert len(points) == 6
    assert points[1] == {"plan": "2x16p+1x64d+8c", "rate_scale": 2.0}


def test_a_sample_meets_every_part_of_every_range_once(write: Write) -> None:
    space = read_space(
        write(
            """
sample: {points: 40, seed: 3}
vary:
  rate_scale: {from: 1.0, to: 100.0, scale: log}
  superpose: {from: 1, to: 4}
  policy: [random, cloudmatrix]
"""
        )
    )
    points = space.points()
    assert points == space.points()
    scales = sorted(float(point["rate_scale"]) for point in points)
    assert all(100 ** (at / 40) * 0.999 <= scale <= 100 ** ((at + 1) / 40) * 1.001 for at, scale in enumerate(scales))
    assert [sum(point["superpose"] == n for point in points) for n in (1, 2, 3, 4)] == [10] * 4
    assert sum(point["policy"] == "random" for point in points) == 20


def test_whole_ranges_stay_within_their_ends() -> None:
    for is_log in (False, True):
        one = Range(3, 9, is_log, is_whole=True)
        found = [one.at(share / 1000) for share in range(1000)]
        assert (min(found), max(found)) == (3, 9)
        assert set(found) == set(range(3, 10))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("vary: {}\n", "2: vary has nothing; give names of settings, each with a list of values"),
        ("vary: {plam: [1]}\n", "2: vary.plam is not known here; did you mean plan"),
        ("vary: {plan: []}\n", "2: vary.plan is []; give a list of values, or from and to"),
        ("vary: {seed: [1, 2]}\n", "2: vary.seed is set by the sweep; give seeds: N"),
        ("vary: {limit: [1, 1]}\n", "2: vary.limit has a value twice; give each once"),
        ("limit: 3\nvary: {limit: [1, 2]}\n", "2: limit is varied as well; give it once"),
        (
            "vary: {limit: {from: 1, to: 9}}\n",
            "2: vary has a range, limit; add sample: {points: N}",
        ),
        ("vary: {limit: {from: 9, to: 1}}\nsample: {points: 2}\n", "2: vary.limit.to is 1, not above from"),
        ("vary: {limit: [1]}\nsample: {points: 0}\n", "3: sample.points is 0; give a number of points, at least 1"),
        ("vary: {limit: [1]}\nseeds: 99\n", "3: seeds is 99; give a number of runs of each point from 1 to 30"),
        ("vary: {limit: [1]}\nminimise: ttft_s.p99\n", "3: minimise is 'ttft_s.p99'; give a list of paths"),
        ("vary: {limit: [1]}\nslow: 3\n", "3: slow is not known here; did you mean slo?"),
    ],
)
def test_what_is_wrong_is_one_line(write: Write, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_space(write(text))
    assert f"sweep.yaml:{line}" in str(caught.value)


def named(space: Space) -> list[str]:
    return [run.name for run in runs_of(space, space.points(), DEMO, "digest")]


def test_a_run_is_named_by_all_that_decides_its_result(write: Write) -> None:
    space = read_space(write(GRID))
    names = named(space)
    assert len(set(names)) == 6
    assert named(read_space(write(GRID))) == names
    assert not set(named(read_space(write(GRID.replace("random", "cloudmatrix"))))) & set(names)
    assert named(read_space(write(GRID + "seeds: 2\n")))[::2] == names
    other = [run.name for run in runs_of(space, space.points(), DEMO, "another trace or program")]
    assert not set(other) & set(names)


def test_what_is_wrong_with_some_points_is_theirs_and_what_is_wrong_with_all_is_the_files(write: Write) -> None:
    some = GRID.replace("4x16p", "40x16p")
    space = read_space(write(some))
    runs = runs_of(space, space.points(), DEMO, "")
    assert [bool(run.error) for run in runs] == [False] * 3 + [True] * 3
    assert "sweep.yaml:5: plan '40x16p+1x64d+8c': takes " in runs[-1].error
    for wrong, line in (
        (GRID.replace("random", "randon"), r"sweep.yaml:3: policy"),
        (GRID.replace("limit: 10", "limit: ten"), r"sweep.yaml:2: limit is 'ten'; give a valid integer"),
    ):
        space = read_space(write(wrong))
        with pytest.raises(ConfigError, match=line):
            runs_of(space, space.points(), DEMO, "")


def test_a_digest_is_of_what_is_in_a_file_or_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("one")
    assert file_digest(str(tmp_path / "a")) != file_digest(str(tmp_path))
    before = file_digest(str(tmp_path))
    (tmp_path / "b").write_text("two")
    assert file_digest(str(tmp_path)) != before
