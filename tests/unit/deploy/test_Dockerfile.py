"""What can be held of the image without a container engine: what it is made of, who runs it and how it is asked."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from deploy.cluster.ports import METRICS_PORT
from tests.unit.deploy.dockerfile import (
    DOCKERFILE,
    ROOT,
    all_of,
    copied,
    image_command,
    image_health_check,
    image_stop_signal,
    image_user,
    stages,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_image_gets_what_is_needed_and_nothing_else() -> None:
    assert "*" in IGNORE
    assert copied() == {line[1:] for line in IGNORE if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied())


def test_what_is_copied_makes_the_wheel(tmp_path: Path) -> None:
    # Pure: to compile takes minutes. The hook that compiles must be there all the same.
    again = [line.removeprefix("**/") for line in IGNORE if line.startswith("**/")]
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(*again))
        else:
            shutil.copy2(ROOT / name, tmp_path)
    assert {"Makefile", "hatch_build.py"} <= copied()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("supernode.py", "deploy/cli.py", "deploy/examples/demo.jsonl", "deploy/kubernetes/service.yaml"):
        assert needed in names
    assert not fnmatch.filter(names, "*__pycache__*")


def test_the_compiler_stays_behind() -> None:
    build, last = stages()
    assert any("gcc" in run for run in all_of("RUN", build))
    assert any(run == "make wheel" for run in all_of("RUN", build))
    assert not any("apt-get" in run or "make" in run for run in all_of("RUN", last))
    (copy,) = all_of("COPY", last)
    assert copy.startswith("--from=build /opt/supernode ")
    assert "ARG PYTHON=3.11." in DOCKERFILE.read_text(encoding="utf-8")  # and not whatever is newest
    assert all_of("FROM", build) == ["python:${PYTHON} AS build"]
    assert all_of("FROM", last) == ["python:${PYTHON}"]


def test_it_runs_by_a_user_without_rights() -> None:
    (add,) = (run for run in all_of("RUN", stages()[-1]) if "useradd" in run)
    assert f"--uid {image_user()} " in add
    assert image_user() > 0


def test_its_health_check_asks_the_metrics_that_its_command_serves() -> None:
    assert image_command() == ["supernode", "up"]
    assert f"http://127.0.0.1:{METRICS_PORT}/metrics" in image_health_check()[-1]
    assert image_stop_signal() == "SIGINT"  # what a person would send


def test_its_version_is_the_projects() -> None:
    assert f"-t supernode:{PROJECT['project']['version']} ." in DOCKERFILE.read_text(encoding="utf-8")
