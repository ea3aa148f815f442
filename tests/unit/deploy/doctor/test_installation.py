"""What lies beside a source tells which build runs, and what a wheel notes whether it is that source's."""

from __future__ import annotations

import importlib.metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from deploy.doctor.installation import PACKAGES, Installation, look
from deploy.doctor.machine import check_modules

DIGEST_OF_PASS = "n1bnYdeb_bNDBKASWGywTRa0Ne9hMAkal3AuVZJgovI"
"""As `wheel` and `hatchling` write it into RECORD for a file that holds the line `pass`."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four packages of two modules each, in Python."""
    for package in PACKAGES:
        (tmp_path / package / "inner").mkdir(parents=True)
        for path in ("one.py", "inner/two.py"):
            (tmp_path / package / path).write_text("pass\n", encoding="utf-8")
    return tmp_path


def compile_beside(source: Path) -> None:
    """A compiled module as Python finds it before the source."""
    source.with_suffix(EXTENSION_SUFFIXES[0]).write_bytes(b"")


def test_a_checkout_is_pure_python(root: Path) -> None:
    assert look(root) == Installation(8, (), ())
    assert check_modules(root).verdict == "ok"
    assert look(root).describe() == "pure Python: none of 8 modules is compiled"


def test_a_wheel_holds_compiled_modules_and_the_sources_they_were_made_from(root: Path) -> None:
    compile_beside(root / "workers/one.py")
    compile_beside(root / "scheduler/inner/two.py")
    noted = {"workers/one.py": DIGEST_OF_PASS, "scheduler/inner/two.py": DIGEST_OF_PASS}
    found = look(root, noted)
    assert found == Installation(8, ("scheduler/inner/two.py", "workers/one.py"), ())
    assert found.describe() == "compiled: 2 of 8 modules, the others are Python"
    assert check_modules(root, noted).verdict == "ok"


def test_an_edit_that_counts_for_nothing_is_told(root: Path) -> None:
    noted = {"workers/one.py": DIGEST_OF_PASS}
    compile_beside(root / "workers/one.py")
    (root / "workers/one.py").write_text("print()\n", encoding="utf-8")
    assert look(root, noted).unlike == ("workers/one.py",)
    assert look(root, noted).describe().endswith("; 1 sources differ from what was compiled, which runs")
    finding = check_modules(root, noted)
    assert finding.verdict == "bad"
    assert finding.found.startswith(f"{root}/workers/one.py: not the source of ")
    assert "make wheel" in finding.mend


def test_a_compiled_module_that_no_wheel_brought_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_installed(name: str) -> object:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("deploy.doctor.installation.distribution", nothing_installed)
    for package in PACKAGES:
        compile_beside(root / package / "one.py")
    finding = check_modules(root)
    assert finding.verdict == "bad"
    assert f"{root}/scheduler/one.py and 3 others" in finding.found


def test_these_tests_run_in_a_checkout_whose_edits_count() -> None:
    assert not look().unlike
