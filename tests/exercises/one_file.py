"""Adds one file to a package of the project, as a contributor would, for the time of a test."""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from scheduler.protocol.catalog import Catalog

HERE = Path(__file__).parent
DEMO = str(HERE.parents[1] / "examples" / "demo.jsonl")


def add_file(name: str, package: str, catalog: Catalog[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package have this folder's module `name` too, and its catalog look for modules again."""
    (folder / package).mkdir()
    shutil.copy(HERE / f"{name}.py", folder / package)
    catalog.names  # noqa: B018 - what is there is imported once and stays
    places = import_module(package).__path__
    monkeypatch.setattr(import_module(package), "__path__", [*places, str(folder / package)])
    monkeypatch.setattr(catalog, "_entries", dict(catalog))
    monkeypatch.setattr(catalog, "_is_complete", False)
    monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err
