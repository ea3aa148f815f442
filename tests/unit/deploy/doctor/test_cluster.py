"""What is left of clusters, and what misleads Ray, is found; what is in use or not ours is left alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deploy.cluster.processes import process_start
from deploy.cluster.runtime_folder import RuntimeFolder, make_token
from deploy.cluster.state import ClusterState, write_state
from deploy.doctor import cluster as doctor
from deploy.doctor.findings import Finding

NO_PID = 2**22 + 1


@pytest.fixture
def folder(tmp_path: Path) -> RuntimeFolder:
    path = tmp_path / "run"
    path.mkdir(0o700)
    return RuntimeFolder(path)


def leave_state(folder: RuntimeFolder, pid: int | None = None, ray_folder: str = "", namespace: str = "") -> None:
    """Of a cluster whose keeper is the leader of this session, or another process."""
    leader = os.getsid(0) if pid is None else pid
    start = process_start(leader) or 0
    write_state(folder, ClusterState("ready", leader, start, ray_folder=ray_folder, namespace=namespace))


def verdict(finding: Finding) -> str:
    assert (finding.verdict == "ok") == (not finding.mend)
    return finding.verdict


def test_nothing_there_is_well(tmp_path: Path) -> None:
    folder = RuntimeFolder(tmp_path / "none")
    for check in (doctor.check_runtime, doctor.check_cluster, doctor.check_cluster_token):
        assert verdict(check(folder)) == "ok"
    assert verdict(doctor.check_leftovers(folder, tmp_path)) == "ok"
    assert not folder.path.exists()


def test_a_folder_open_to_others_is_bad_and_its_mend_is_a_command(folder: RuntimeFolder) -> None:
    assert verdict(doctor.check_runtime(folder)) == "ok"
    folder.path.chmod(0o755)
    finding = doctor.check_runtime(folder)
    assert verdict(finding) == "bad"
    assert finding.mend.startswith(f"run 'chmod 700 {folder.path}'")


def test_a_cluster_whose_keeper_is_gone_has_crashed(folder: RuntimeFolder) -> None:
    leave_state(folder, NO_PID)
    finding = doctor.check_cluster(folder)
    assert verdict(finding) == "bad"
    assert str(NO_PID) in finding.found
    folder.state_path.write_text("{")
    assert verdict(doctor.check_cluster(folder)) == "bad"


def test_a_token_belongs_to_a_cluster_and_is_secret(folder: RuntimeFolder) -> None:
    make_token(folder.token_path)
    assert verdict(doctor.check_cluster_token(folder)) == "warn"
    leave_state(folder, os.getpid())
    assert verdict(doctor.check_cluster_token(folder)) == "ok"
    assert verdict(doctor.check_cluster(folder)) == "ok"
    folder.token_path.chmod(0o644)
    assert verdict(doctor.check_cluster_token(folder)) == "bad"
    folder.token_path.unlink()
    assert verdict(doctor.check_cluster_token(folder)) == "bad"
    leave_state(folder, os.getpid(), namespace="supernode-1f0c22ab")  # on a Ray cluster that is not ours
    assert verdict(doctor.check_cluster_token(folder)) == "ok"


def test_a_port_is_free_or_a_stranger_holds_it_or_our_cluster(folder: RuntimeFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stranger = doctor.check_metrics_port(folder, port)
        assert verdict(stranger) == "bad"
        assert f"process {os.getpid()} (" in stranger.found
        assert "--metrics-port" in stranger.mend
        assert verdict(doctor.check_prometheus_port(folder, port)) == "warn"
        if process_start(os.getsid(0)) is not None:  # a container's first process may not be seen from here
            leave_state(folder)
            assert doctor.check_metrics_port(folder, port).found == f"{port} is held by our cluster"
    assert verdict(doctor.check_metrics_port(folder, port)) == "ok"


def node_folder(base: Path, name: str, age_s: float = 1000.0) -> Path:
    path = base / name
    (path / "ray").mkdir(parents=True)
    then_s = path.stat().st_mtime - age_s
    os.utime(path, (then_s, then_s))
    return path


def test_only_old_folders_of_nodes_in_which_nobody_listens_are_left_over(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    dead = node_folder(base, "supernode-dead")
    used = node_folder(base, "supernode-used")
    known = node_folder(base, "supernode-known")
    node_folder(base, "supernode-young", age_s=0)
    (base / "supernode-0").mkdir()
    (base / "supernode-link").symlink_to(dead)
    leave_state(folder, ray_folder=str(known))
    sockets = {f"{used}/ray/session_1/sockets/raylet", f"{dead}-other/ray/session_1/sockets/raylet"}
    monkeypatch.setattr(doctor, "own_unix_sockets", lambda: sockets)
    finding = doctor.check_leftovers(folder, base)
    assert verdict(finding) == "warn"
    assert finding.mend == f"run 'rm -r {dead}'"


def environment(home: Path, **variables: str) -> Finding:
    return doctor.check_environment(variables, home)


def test_variables_that_mislead_ray_are_all_named(tmp_path: Path) -> None:
    assert verdict(environment(tmp_path, RAY_ADDRESS="", PATH="/bin")) == "ok"
    finding = environment(tmp_path, RAY_ADDRESS="auto", RAY_AUTH_MODE="disabled")
    assert verdict(finding) == "warn"
    assert finding.mend == "run 'unset RAY_ADDRESS RAY_AUTH_MODE'"


def test_rays_own_token_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray" / "auth_token"
    token.touch(0o600)
    assert verdict(environment(tmp_path)) == "ok"
    token.chmod(0o644)
    assert environment(tmp_path).mend == f"run 'chmod 600 {token}'"


def test_a_package_that_goes_before_ours_is_bad(tmp_path: Path) -> None:
    root = Path(doctor.__file__).resolve().parents[2]
    (tmp_path / "workers").mkdir()
    assert verdict(environment(tmp_path, PYTHONPATH=str(tmp_path))) == "ok"  # a folder without code gives way to ours
    (tmp_path / "workers" / "__init__.py").touch()
    assert verdict(environment(tmp_path, PYTHONPATH=f"{root}:{tmp_path}")) == "ok"
    for path in (str(tmp_path), f"/none::{tmp_path}:{root}"):
        finding = environment(tmp_path, PYTHONPATH=path)
        assert verdict(finding) == "bad"
        assert str(tmp_path / "workers") in finding.found
