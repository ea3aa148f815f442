"""A run folder comes back as it was written, and one that is torn is one line that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
    assert sum(instance.num_npus for instance in run.instances) == run.num_nodes * run.npus_per_node == 384


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
