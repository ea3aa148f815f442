"""Each check of the machine has its bounds, and says what it found on either side of them."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import psutil
import pytest

from deploy.cluster.local.footprint import DEFAULT_ACTORS, GB, MB, OBJECT_STORE_BYTES, default_cluster_bytes
from deploy.doctor import machine
from deploy.doctor.findings import Finding
from deploy.settings.settings import Settings


class Usage(NamedTuple):
    """As `shutil.disk_usage` answers."""

    total: int
    used: int
    free: int


def answers(monkeypatch: pytest.MonkeyPatch, where: object, name: str, answer: object) -> None:
    """The function of this name answers so, whatever it is asked."""

    def function(*_: object) -> object:
        return answer

    monkeypatch.setattr(where, name, function, raising=False)


def verdict(finding: Finding) -> str:
    assert finding.found
    assert (finding.verdict == "ok") == (not finding.mend)
    return finding.verdict


def test_the_default_cluster_has_as_many_actors_as_the_default_plan() -> None:
    terms = [term for term in Settings.from_plain({}).hardware.plan.text.split("+") if "x" in term]
    assert sum(int(term.partition("x")[0]) for term in terms) + len(("network", "control-plane")) == DEFAULT_ACTORS


@pytest.mark.parametrize(
    ("running", "expected"), [((3, 10), "bad"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "warn")]
)
def test_python(running: tuple[int, int], expected: str) -> None:
    assert verdict(machine.check_python(running)) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [("2.9.0", "bad"), ("2.59.1", "bad"), ("2.60.0", "ok"), ("2.60.3rc1", "ok"), ("2.61.0", "warn"), ("3.0.0", "bad")],
)
def test_ray(monkeypatch: pytest.MonkeyPatch, found: str, expected: str) -> None:
    answers(monkeypatch, machine, "version", found)
    assert verdict(machine.check_ray()) == expected


def test_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(machine, "version", missing)
    assert verdict(machine.check_ray()) == "bad"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Finding]:
    """The check of a machine with so much available, and of a container's limit."""

    def check(available: float, limit: float | str | None = None, used: float = 0) -> Finding:
        answers(monkeypatch, psutil, "virtual_memory", SimpleNamespace(available=int(available)))
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit if isinstance(limit, str) else int(limit)}\n")
            (tmp_path / "memory.current").write_text(f"{int(used)}\n")
            (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {100 * MB}\n")
        return machine.check_memory(tmp_path)

    return check


def test_memory_is_held_against_what_a_cluster_takes(memory: Callable[..., Finding]) -> None:
    needed = default_cluster_bytes()
    assert verdict(memory(needed * 0.99)) == "bad"
    assert verdict(memory(needed * 1.01)) == "warn"
    assert verdict(memory(needed * 2.01)) == "ok"


def test_the_limit_of_a_container_counts_less_what_it_uses_but_for_page_cache(memory: Callable[..., Finding]) -> None:
    finding = memory(available=100 * GB, limit=4 * GB, used=3.5 * GB)
    assert verdict(finding) == "bad"
    assert finding.found.startswith("0.6 GB")
    assert memory(available=1 * GB, limit=400 * GB).found.startswith("1.0 GB")
    assert memory(available=1 * GB, limit="max").found.startswith("1.0 GB")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((1024, 4096), "ok"),
        ((256, resource.RLIM_INFINITY), "ok"),
        ((1024, 1024), "warn"),
        ((100, 255), "bad"),
    ],
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], expected: str) -> None:
    answers(monkeypatch, resource, "getrlimit", limits)
    assert verdict(machine.check_open_files()) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(100 * GB, 10 * GB, 90 * GB), "ok"),
        (Usage(100 * GB, 96 * GB, 4 * GB), "warn"),
        (Usage(100 * GB, 0, 199 * MB), "bad"),
    ],
)
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, usage: Usage, expected: str) -> None:
    answers(monkeypatch, shutil, "disk_usage", usage)
    assert verdict(machine.check_disk(tmp_path)) == expected


def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert verdict(machine.check_shared_memory(tmp_path / "none")) == "ok"
    for free, expected in ((OBJECT_STORE_BYTES - 1, "warn"), (OBJECT_STORE_BYTES, "ok")):
        answers(monkeypatch, shutil, "disk_usage", Usage(GB, 0, free))
        assert verdict(machine.check_shared_memory(tmp_path)) == expected


def test_cores_are_those_that_we_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, os, "sched_getaffinity", {1, 2, 3, 4})
    assert machine.check_cores(tmp_path).found == "4"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.check_cores(tmp_path).found == "4"
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    finding = machine.check_cores(tmp_path)
    assert verdict(finding) == "warn"
    assert finding.found.startswith("1.5 of 4")


def test_prometheus_is_called_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "prometheus").touch(0o700)
    finding = machine.check_prometheus()
    assert verdict(finding) == "warn"
    assert finding.found == "no promtool on PATH"
    (tmp_path / "promtool").touch(0o700)
    assert verdict(machine.check_prometheus()) == "ok"


def test_dashboards(tmp_path: Path) -> None:
    assert verdict(machine.check_dashboards(tmp_path)) == "warn"
    (tmp_path / "a.json").touch()
    assert machine.check_dashboards(tmp_path).found.startswith("1 in")
