"""What the keeper wrote is read back; what cannot be right is a crashed cluster, told in one line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cluster import state as cluster_state
from deploy.cluster.processes import process_start
from deploy.cluster.state import ClusterState, read_state, standing, write_state

NO_PID = 2**22 + 1
"""Above the largest id that Linux gives."""


def state(**changed: object) -> ClusterState:
    start = process_start(os.getpid())
    assert start is not None
    ready = ClusterState("ready", os.getpid(), start, ray_folder="r", config={"seed": 1}, started_at="then")
    return replace(ready, **changed)  # pyright: ignore[reportArgumentType]


def test_what_is_written_is_read_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for phase in ("starting", "ready", "stopping", "failed"):
        write_state(path, state(phase=phase))
        assert read_state(path) == state(phase=phase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, state())
    with pytest.raises(TypeError):
        write_state(path, state(config={"key": object()}))
    assert read_state(path) == state()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cluster_stands_as_its_keeper_says_while_that_lives(tmp_path: Path) -> None:
    assert standing(read_state(tmp_path / "state.json")) == "down"
    assert standing(state()) == "up"
    assert standing(state(phase="starting")) == "starting"
    assert standing(state(phase="stopping")) == "stopping"
    assert standing(state(phase="failed")) == "crashed"
    for phase in ("starting", "ready", "stopping"):
        assert standing(state(phase=phase, keeper_pid=NO_PID)) == "crashed"
        assert standing(state(phase=phase, keeper_start=state().keeper_start + 1)) == "crashed"


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_damage_is_a_crashed_cluster(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    path.write_bytes(content)
    assert_crashed(read_state(path), path)


@pytest.mark.parametrize("name", list(json.loads(json.dumps(cluster_state.asdict(state())))))
def test_a_field_that_is_missing_or_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "state.json"
    write_state(path, state())
    document = json.loads(path.read_text())
    for wrong in ([None], True, None):
        path.write_text(json.dumps(document | {name: wrong}))
        assert name in assert_crashed(read_state(path), path)
    del document[name]
    path.write_text(json.dumps(document))
    assert name in assert_crashed(read_state(path), path)


def test_the_keeper_of_another_version_can_still_be_ended(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, replace(state(), version=2))
    found = read_state(path)
    assert "version 2" in assert_crashed(found, path)
    assert found is not None
    assert (found.keeper_pid, found.keeper_start, found.ray_folder) == (os.getpid(), state().keeper_start, "r")


def test_a_keeper_from_before_the_last_start_of_the_machine_is_nobody(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, state(world="another"))
    found = read_state(path)
    assert standing(found) == "crashed"
    assert found is not None
    assert (found.keeper_pid, found.keeper_start, found.ray_folder) == (0, 0, "r")
    assert "started anew" in found.line


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "directory" in assert_crashed(read_state(tmp_path), tmp_path)


def assert_crashed(found: ClusterState | None, path: Path) -> str:
    assert found is not None
    assert standing(found) == "crashed"
    assert str(path) in found.line
    assert found.line.isprintable()
    return found.line
