"""What requests had waited for, from the run to its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.cli import main
from deploy.report.clients import clients_section
from deploy.report.life import life_of, render_life
from deploy.run_folder.clients import NOTHING
from deploy.run_folder.read import RunFolder, open_run
from scheduler.protocol.errors import InputError
from tests.unit.deploy.run_folder.made import make_run


def _calls(folder: Path) -> str:
    """Two tasks: of one the last call waits for two that run side by side, the other is two turns."""
    rows = [
        {"request_id": "a", "session_id": "x", "timestamp": 0, "input_length": 500, "output_length": 20},
        {"request_id": "b", "session_id": "x", "input_length": 900, "output_length": 30, "wait_for": ["a"]},
        {"request_id": "c", "session_id": "x", "input_length": 800, "output_length": 5, "wait_for": ["a"]},
        {
            "request_id": "d",
            "session_id": "x",
            "input_length": 1500,
            "output_length": 5,
            "wait_for": ["b", "c"],
            "tool_wait_ms": 2000,
        },
        {"request_id": "e", "session_id": "y", "timestamp": 0, "input_length": 600, "output_length": 10},
    ]
    path = folder / "calls.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("calls")
    assert main(["replay", _calls(folder), "--out", str(folder / "run")]) == 0
    return open_run(str(folder / "run"))


def _named(run: RunFolder) -> dict[str, int]:
    """Ids of the requests by what the trace calls them."""
    assert run.clients is not None
    rows = run.clients.asked["row"].tolist()
    return {name: rows.index(row) for row, name in enumerate("abcde")}


def test_a_request_follows_those_that_it_waited_for(calls: RunFolder) -> None:
    assert calls.clients is not None
    of, asked = _named(calls), calls.clients.asked
    assert {name: set(calls.clients.followed_by(one)) for name, one in of.items()} == {
        "a": set(),
        "b": {of["a"]},
        "c": {of["a"]},
        "d": {of["b"], of["c"]},
        "e": set(),
    }
    ended, arrived = (calls.requests.numbers[name] for name in ("ended_ns", "arrived_ns"))
    assert asked["ready_ns"][of["a"]] == asked["ready_ns"][of["e"]] == NOTHING
    for name, last_ns in (("b", ended[of["a"]]), ("d", max(ended[of["b"]], ended[of["c"]]) + 2e9)):
        assert asked["ready_ns"][of[name]] == last_ns == arrived[of[name]]
    assert sorted(calls.clients.planned_turns.tolist()) == [1, 4]
    assert calls.summary["sessions"]["e2e_s"]["max"] == pytest.approx((ended[of["d"]] - arrived[of["a"]]) / 1e9)


def test_explain_tells_what_came_before(calls: RunFolder) -> None:
    of = _named(calls)
    life = life_of(calls, str(of["d"]))
    assert [one.event for one in life.events[:4]] == [
        f"request {of['c']} ended",
        f"request {of['b']} ended",
        "ready",
        "arrived at the gateway",
    ]
    assert life.events[2].why == "2 s after that: its delay, or a tool's time"
    assert life.events[3].why.endswith(", call 4 of 4 of session 0")
    assert life.events[3].at_ns == life.arrived_ns
    text = render_life(life)
    assert "-2 s" in text
    first = life_of(calls, str(of["a"])).events[0]
    assert (first.event, first.at_ns) == ("arrived at the gateway", 0)


def test_explain_tells_which_client_sent_it(tmp_path: Path) -> None:
    run = open_run(str(make_run(tmp_path, "--concurrency", "4", "--think-time", "1s", "--ramp", "8s")))
    assert run.clients is not None
    asked, ended = run.clients.asked, run.requests.numbers["ended_ns"]
    assert asked["freed_by"][:1].tolist() == [NOTHING]
    later = np.flatnonzero(asked["freed_by"] != NOTHING)
    assert len(later) == len(asked) - 4
    assert (asked["free_ns"][later] == ended[asked["freed_by"][later]] + 1e9).all()
    assert (asked["free_ns"] == run.requests.numbers["arrived_ns"]).all()
    request_id = int(later[-1])
    events = life_of(run, str(request_id)).events[:3]
    assert [one.event for one in events] == [
        f"request {asked['freed_by'][request_id]} ended",
        "its client was free",
        "arrived at the gateway",
    ]
    ramp = next(i for i in range(1, len(asked)) if asked["freed_by"][i] == NOTHING)
    assert life_of(run, str(ramp)).events[0].event == "its client began"


def test_a_run_at_fixed_times_has_none_and_leaves_none_behind(tmp_path: Path) -> None:
    assert open_run(str(make_run(tmp_path, "--concurrency", "4"))).clients is not None
    run = open_run(str(make_run(tmp_path)))
    assert run.clients is None
    assert clients_section(run) == []
    assert life_of(run, "3").events[0].event == "arrived at the gateway"


def test_rows_of_another_run_are_one_line(tmp_path: Path) -> None:
    make_run(tmp_path, "--concurrency", "4")
    with np.load(tmp_path / "clients.npz") as stored:
        rows = dict(stored)
    np.savez(tmp_path / "clients.npz", **{**rows, "asked": rows["asked"][:5]})
    with pytest.raises(InputError, match=r"clients.npz: is of another number of requests"):
        _ = open_run(str(tmp_path)).clients
    (tmp_path / "clients.npz").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"clients.npz: is damaged"):
        _ = open_run(str(tmp_path)).clients


def test_the_report_shows_clients_and_sessions(calls: RunFolder, tmp_path: Path) -> None:
    (text,) = clients_section(calls)
    for title in ("Requests in flight", "Sessions open", "Session time", "Longest sessions"):
        assert title in text
    (text,) = clients_section(open_run(str(make_run(tmp_path, "--concurrency", "4", "--warmup", "50"))))
    assert "Requests in flight" in text
    assert "end of the warm-up" in text
    assert "Sessions" not in text
