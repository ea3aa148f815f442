"""The section of scaling: each decision with its reason, whoever made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.report.page import run_page
from deploy.report.scaling import scaling_section
from deploy.run_folder import RUN_NAME
from deploy.run_folder.read import RunFolder, open_run
from tests.unit.deploy.run_folder.made import make_run

BUSY = {"at_ns": 5_000_000_000, "wanted": {"prefill": 13}, "reason": "few tokens", "which": {"drained": ["prefill-3"]}}
BY_HAND = {"at_ns": 6_000_000_000, "wanted": {"prefill": 14}, "reason": "operator", "which": {"kept": ["prefill-3"]}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which nobody decides anything."""
    return make_run(tmp_path_factory.mktemp("run"))


def scaled(plain: Path, *decisions: object, **config: str) -> RunFolder:
    """The same in which something was decided."""
    run = json.loads((plain / RUN_NAME).read_text())
    run["decisions"]["scaling"] = decisions
    run["config"] |= config
    return RunFolder(plain, run, open_run(str(plain)).summary)


@pytest.mark.parametrize(
    ("decisions", "config", "who"),
    [
        ([BUSY], {"autoscaler": "sla"}, "sla."),
        ([BY_HAND], {}, "an operator."),
        ([BUSY, BY_HAND], {"autoscaler": "sla"}, "sla and an operator."),
        ([], {"autoscaler": "sla"}, "sla."),
    ],
)
def test_decisions_are_told_with_who_made_them(
    plain: Path, decisions: list[object], config: dict[str, str], who: str
) -> None:
    run = scaled(plain, *decisions, **config)
    (section,) = scaling_section(run)
    assert f"Who decides: {who}" in section
    assert ("few tokens" in section) == (BUSY in decisions)
    assert ("kept prefill-3" in section) == (BY_HAND in decisions)
    assert section in run_page(run)


def test_a_run_whose_instances_all_stay_has_none(plain: Path) -> None:
    assert scaling_section(open_run(str(plain))) == []
