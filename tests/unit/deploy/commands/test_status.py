"""No command goes by what another user may have laid where the state of a cluster is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.cluster.processes import process_start
from deploy.cluster.runtime_folder import FOLDER_VARIABLE, RuntimeFolder
from deploy.cluster.state import ClusterState, write_state

DEMO = Path(__file__).parents[4] / "examples" / "demo.jsonl"
COMMANDS = (["status"], ["fail", "l2/3/7"], ["repair", "--all"], ["replay", str(DEMO), "--live"], ["up"], ["down"])


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("is_link", [False, True], ids=["open to others", "a link"])
def test_it_is_refused_in_one_line(
    arguments: list[str],
    is_link: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    laid = RuntimeFolder(tmp_path / "laid")
    laid.path.mkdir(0o700)
    alive = ClusterState("ready", os.getpid(), process_start(os.getpid()) or 0, ray_address="10.0.0.1:6379")
    write_state(laid, alive)
    looked_at = tmp_path / "link"
    looked_at.symlink_to(laid.path)
    laid.path.chmod(0o755)
    monkeypatch.setenv(FOLDER_VARIABLE, str(looked_at if is_link else laid.path))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert ("symbolic link" if is_link else "open to other users") in err
