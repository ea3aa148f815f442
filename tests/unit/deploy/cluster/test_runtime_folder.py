"""The runtime folder and the token are this user's alone, or nothing is done with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cluster.runtime_folder import (
    FOLDER_VARIABLE,
    RuntimeFolder,
    check_token,
    locate_runtime_folder,
    locked,
    make_token,
    open_runtime_folder,
)
from scheduler.protocol.errors import ClusterError, ConfigError


def opened(path: Path) -> RuntimeFolder:
    return open_runtime_folder({FOLDER_VARIABLE: str(path)})


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_folder_is_made_for_us_alone_and_found_again(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = opened(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert mode(folder.path) == 0o700
    assert opened(tmp_path / "a" / "b") == folder


def test_the_users_own_name_goes_before_the_session_directory_and_that_before_the_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    session = {"XDG_RUNTIME_DIR": str(tmp_path)}
    temporary = Path(f"/nowhere/supernode-{os.geteuid()}")
    assert locate_runtime_folder({**session, FOLDER_VARIABLE: "/x/../y"}).path == Path("/y")
    assert locate_runtime_folder({**session, FOLDER_VARIABLE: ""}).path == tmp_path / "supernode"
    assert locate_runtime_folder({}).path == temporary
    for unusable in ("relative", str(tmp_path / "missing"), ""):
        assert locate_runtime_folder({"XDG_RUNTIME_DIR": unusable}).path == temporary


def test_a_session_directory_of_another_user_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: theirs)
    assert tmp_path not in locate_runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}).path.parents


def test_a_folder_that_others_can_reach_or_lay_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide, link, file = tmp_path / "wide", tmp_path / "link", tmp_path / "file"
    wide.mkdir(0o700)
    link.symlink_to(wide)
    file.touch()
    with pytest.raises(ConfigError, match="symbolic link"):
        opened(link)
    with pytest.raises(ConfigError, match="no folder"):
        opened(file)
    with pytest.raises(ConfigError, match="Not a directory"):
        opened(file / "below")
    opened(wide)
    wide.chmod(0o710)
    with pytest.raises(ConfigError, match=rf"mode 0710\); run 'chmod 700 {wide}'"):
        opened(wide)
    wide.chmod(0o700)
    theirs = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: theirs)
    with pytest.raises(ConfigError, match="belongs to user"):
        opened(wide)


def test_one_holds_the_lock_and_the_next_learns_who(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run")
    with locked(folder):
        with pytest.raises(ClusterError, match=rf"\(process {os.getpid()}\) is at work") as refusal, locked(folder):
            pass
        assert "\n" not in str(refusal.value)
    with locked(folder):
        assert mode(folder.lock_path) == 0o600


def test_a_holder_that_is_killed_gives_the_lock_back(tmp_path: Path) -> None:
    folder = opened(tmp_path / "run")
    program = (
        "import sys, time; from pathlib import Path; from deploy.cluster.runtime_folder import RuntimeFolder, locked\n"
        "with locked(RuntimeFolder(Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ClusterError, match=f"process {holder.pid}"), locked(folder):
            pass
        holder.kill()
        holder.wait(10)
        with locked(folder):
            pass


def test_a_token_is_new_each_time_and_passes_its_check(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        make_token(path)
        check_token(path)
        assert mode(path) == 0o600
        with pytest.raises(ClusterError, match="another cluster already"):
            make_token(path)
    assert paths[0].read_text() != paths[1].read_text()
    assert len(paths[0].read_text()) == 64


def test_a_token_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ClusterError):
        make_token(tmp_path / "link")
    assert not (tmp_path / "target").exists()


def test_ray_is_refused_a_token_that_is_not_there_or_not_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    with pytest.raises(ClusterError, match="no token"):
        check_token(token)
    make_token(token)
    (tmp_path / "link").symlink_to(token)
    with pytest.raises(ClusterError, match="cannot be read"):
        check_token(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ClusterError, match="no regular file"):
        check_token(tmp_path / "pipe")
    token.chmod(0o640)
    with pytest.raises(ClusterError, match="mode 0640"):
        check_token(token)
    token.chmod(0o600)
    content = token.read_text()
    token.write_text(" \n")
    with pytest.raises(ClusterError, match="is empty"):
        check_token(token)
    token.write_text(content)
    check_token(token)
    theirs = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: theirs)
    with pytest.raises(ClusterError, match="belongs to user"):
        check_token(token)
