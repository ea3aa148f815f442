"""What the keeper wrote is read back; what cannot be right is a crashed cluster, told in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deploy.cluster.processes import process_start
from deploy.cluster.runtime_folder import RuntimeFolder
from deploy.cluster.state import VERSION, ClusterState, read_state, standing, write_state
from scheduler.protocol.errors import ConfigError

NO_PID = 2**22 + 1
"""Above the largest id that Linux gives."""


def state(**changed: object) -> ClusterState:
    start = process_start(os.getpid())
    assert start is not None
    ready = ClusterState("ready", os.getpid(), start, ray_folder="r", config={"seed": 1}, started_at="then")
    return replace(ready, **changed)  # pyright: ignore[reportArgumentType]


def test_what_is_written_is_read_and_nobody_else_reads_it(tmp_path: Path) -> None:
    folder, path = RuntimeFolder(tmp_path), tmp_path / "state.json"
    for phase in ("starting", "ready", "stopping", "failed"):
        write_state(folder, state(phase=phase))
        assert read_state(folder) == state(phase=phase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, state())
    with pytest.raises(TypeError):
        write_state(folder, state(config={"key": object()}))
    assert read_state(folder) == state()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cluster_stands_as_its_keeper_says_while_that_lives(tmp_path: Path) -> None:
    assert standing(read_state(RuntimeFolder(tmp_path))) == "down"
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
    folder = RuntimeFolder(tmp_path_factory.mktemp("state"))
    path = folder.state_path
    path.write_bytes(content)
    assert_crashed(read_state(folder), path)


@pytest.mark.parametrize("name", ClusterState.__struct_fields__)
def test_a_field_that_is_missing_or_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    folder, path = RuntimeFolder(tmp_path), tmp_path / "state.json"
    write_state(folder, state())
    document = json.loads(path.read_text())
    for wrong in ([None], True, None):
        path.write_text(json.dumps(document | {name: wrong}))
        assert name in assert_crashed(read_state(folder), path)
    del document[name]
    path.write_text(json.dumps(document))
    assert name in assert_crashed(read_state(folder), path)


def test_a_cluster_of_another_version_is_no_crashed_one_and_can_still_be_ended(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, replace(state(), version=VERSION + 1))
    found = read_state(folder)
    assert found is not None
    assert standing(found) == "foreign"
    assert "another version" in found.line
    assert (found.keeper_pid, found.keeper_start, found.ray_folder) == (os.getpid(), state().keeper_start, "r")
    write_state(folder, replace(state(), version=VERSION + 1, keeper_pid=NO_PID))
    assert f"version {VERSION + 1}" in assert_crashed(read_state(folder), folder.state_path)


def test_the_state_of_a_folder_that_is_not_ours_alone_is_never_read(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path / "run")
    folder.path.mkdir(0o700)
    write_state(folder, state())
    link = RuntimeFolder(tmp_path / "link")
    link.path.symlink_to(folder.path)
    with pytest.raises(ConfigError, match="symbolic link"):
        read_state(link)
    folder.path.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users"):
        read_state(folder)
    folder.path.chmod(0o700)
    assert read_state(folder) == state()


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "writable", "folder"])
def test_a_state_file_that_another_may_have_laid_is_not_read(tmp_path: Path, kind: str) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, state())
    path = folder.state_path
    if kind == "writable":
        path.chmod(0o666)
    else:
        real = path.rename(tmp_path / "real") if kind == "link" else tmp_path / "none"
        path.unlink(missing_ok=True)
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to(real)
    found = read_state(folder)
    assert_crashed(found, path)
    assert found is not None
    assert (found.keeper_pid, found.ray_address, found.config) == (0, "", {})


def test_a_state_file_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, state())
    theirs = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: theirs)
    with pytest.raises(ConfigError, match="belongs to user"):
        read_state(folder)
    monkeypatch.setattr("deploy.cluster.state.check_runtime_folder", id)
    assert "belongs to user" in assert_crashed(read_state(folder), folder.state_path)


@pytest.mark.parametrize("address", ["10.0.0.1:9384", "127.0.0.1:9384@evil", "evil:1", "127.0.0.1:9384/\x1b[2J"])
@pytest.mark.parametrize("name", ["metrics_address", "prometheus_address"])
def test_an_address_beyond_this_machine_is_damage(tmp_path: Path, name: str, address: str) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, state(**{name: address}))
    assert name in assert_crashed(read_state(folder), folder.state_path)


def test_no_path_to_the_token_is_read_from_anywhere() -> None:
    assert not [name for name in ClusterState.__struct_fields__ if "token" in name]


def test_a_keeper_from_before_the_last_start_of_the_machine_is_nobody(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path)
    write_state(folder, state(world="another"))
    found = read_state(folder)
    assert standing(found) == "crashed"
    assert found is not None
    assert (found.keeper_pid, found.keeper_start, found.ray_folder) == (0, 0, "r")
    assert "started anew" in found.line


def assert_crashed(found: ClusterState | None, path: Path) -> str:
    assert found is not None
    assert standing(found) == "crashed"
    assert str(path) in found.line
    assert found.line.isprintable()
    return found.line
