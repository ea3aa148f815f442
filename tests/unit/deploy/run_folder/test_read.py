"""A run folder comes back as it was written, and one that is torn is one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from deploy.cli import main
from deploy.run_folder import DECISIONS_NAME, FORMAT, RUN_NAME, TIMELINE_NAME
from deploy.run_folder.read import RunFolder, open_run
from scheduler.metrics.outcome.timeline import MAX_STEPS
from scheduler.protocol.errors import InputError
from tests.unit.deploy.run_folder.made import NUM_REQUESTS, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nobody changes."""
    return make_run(tmp_path_factory.mktemp("run"))


def read_all(folder: Path) -> RunFolder:
    """Every file of it."""
    run = open_run(str(folder))
    assert (len(run.requests), len(run.timeline), len(run.decisions)) > (0, 0, 0)
    return run


def test_what_was_run_is_told(made: Path) -> None:
    run = read_all(made)
    assert run.command[:2] == ["supernode", "replay"]
    assert run.command[-2:] == ["--out", str(made)]
    assert run.config["slo"] == "ttft=2s,tpot=50ms"
    assert run.trace["limit"] == NUM_REQUESTS == len(run.requests)
    (nodes,) = run.supernodes
    assert sum(instance.num_npus for instance in run.instances) == nodes.count * nodes.npus_per_node == 384


def test_the_course_adds_up_to_the_summary(made: Path) -> None:
    run = read_all(made)
    course, requests, summary = run.timeline, run.requests.numbers, run.summary
    seconds = np.diff(np.append(course["time_s"], run.span_s))
    assert 0 < len(seconds) <= MAX_STEPS
    assert seconds.sum() == pytest.approx(run.span_s)
    joules = sum(np.dot(course[f"watts:{one.address}"], seconds) for one in run.instances)
    assert joules == pytest.approx(summary["energy"]["joules"], rel=1e-4)
    moved = np.dot(course["rdma_bytes_per_s"], seconds)
    assert moved == pytest.approx(summary["fabric"]["rdma"]["bytes"], rel=1e-4)
    assert np.dot(course["output_tokens_per_s"], seconds) == pytest.approx(requests["output_tokens"].sum(), rel=1e-4)
    assert course["hit_tokens"].sum() == pytest.approx(summary["cache"]["hit_tokens"], rel=1e-4)
    assert course["finished"].sum() == summary["requests"]["finished"]


def test_every_request_has_its_decisions(made: Path) -> None:
    run = read_all(made)
    assert sorted(run.decisions["prefill"]["request_id"].tolist()) == list(range(NUM_REQUESTS))
    prefill = run.addresses("prefill")
    for row in run.decisions["prefill"]:
        assert run.requests.texts["prefill_instance"][row["request_id"]] == prefill[row["instance"]]


def cut(path: Path) -> None:
    """As a full disk would leave it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def filled(data: bytes) -> Callable[[Path], object]:
    """Puts something else in its place."""
    return lambda path: path.write_bytes(data)


def store_other_rows(path: Path) -> None:
    """An archive of numpy's, but not ours."""
    np.savez(path, prefill=np.zeros(1))


@pytest.mark.parametrize(
    ("name", "tear", "told"),
    [
        (RUN_NAME, Path.unlink, "has no run.json"),
        (RUN_NAME, cut, "run.json: is damaged"),
        (RUN_NAME, filled(b"[]"), "run.json: is damaged"),
        (RUN_NAME, filled(b'{"format": %d}' % FORMAT), "run.json: is damaged"),
        (RUN_NAME, filled(b'{"format": 99}'), "this program reads format"),
        ("summary.json", Path.unlink, "summary.json: is missing"),
        ("summary.json", cut, "summary.json: is damaged"),
        ("requests.csv", cut, "requests.csv: is damaged"),
        ("requests.csv", filled(b"\xff\xfe"), "requests.csv: is damaged"),
        ("requests.csv", filled(b"request_id\n0\n"), "without the columns"),
        ("requests.csv", filled(b""), "requests.csv: is damaged"),
        (TIMELINE_NAME, Path.unlink, "timeline.csv: is missing"),
        (TIMELINE_NAME, cut, "timeline.csv: is damaged"),
        (DECISIONS_NAME, cut, "decisions.npz: is damaged"),
        (DECISIONS_NAME, filled(b"not a zip"), "decisions.npz: is damaged"),
        (DECISIONS_NAME, store_other_rows, "decisions.npz: is damaged"),
    ],
)  # fmt: skip
def test_a_torn_folder_is_one_line(
    made: Path, tmp_path: Path, name: str, tear: Callable[[Path], object], told: str
) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(made, folder)
    tear(folder / name)
    with pytest.raises(InputError) as caught:
        read_all(folder)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", ["nowhere", "", "a\0b", __file__])
def test_what_is_no_folder_is_one_line(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="supernode replay TRACE --out DIR"):
        open_run(folder)


def test_equal_runs_leave_equal_folders(made: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other")
    for name in (TIMELINE_NAME, "requests.csv"):
        assert (other / name).read_bytes() == (made / name).read_bytes()
    ours, theirs = (json.loads((folder / RUN_NAME).read_text()) for folder in (made, other))
    assert {**ours, "command": []} == {**theirs, "command": []}


@pytest.mark.parametrize("num_bytes", [1, 40, 3_000])
def test_requests_that_were_cut_short_are_not_taken_for_all(made: Path, tmp_path: Path, num_bytes: int) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "run"))
    path = folder / "requests.csv"
    text = path.read_text()
    path.write_text(text[: len(text) - num_bytes])
    with pytest.raises(InputError, match=r"requests\.csv.*cut short|requests\.csv.*damaged"):
        read_all(folder)
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    with pytest.raises(InputError, match=f"has {NUM_REQUESTS - 3} requests of {NUM_REQUESTS}, so it was cut short"):
        read_all(folder)


NONSENSE = (None, -1, "x", [], {}, [None], 1e400)


def _places(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _places(value, (*path, key))
    elif isinstance(document, list) and document:
        yield from _places(document[0], (*path, 0))


@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_nonsense_in_a_run_folder_is_one_line_and_bad_input(
    made: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "run"))
    document = json.loads((made / name).read_text())
    places = [path for path in _places(document) if path]
    draws = Random(name)
    for path in draws.sample(places, min(len(places), 20)):
        changed = json.loads(json.dumps(document))
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = draws.choice(NONSENSE)
        (folder / name).write_text(json.dumps(changed))
        for command in (["explain", "3", str(folder)], ["report", str(folder), "--output", str(tmp_path / "r.html")]):
            code = main(command)
            _, err = capsys.readouterr()
            assert code in (0, 2), (path, inner, err)
            assert err.count("\n") <= 1
