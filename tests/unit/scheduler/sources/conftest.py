"""The published traces, where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> Path:
    """The folder of example traces and workloads."""
    return request.config.rootpath / "examples"


@pytest.fixture
def real_trace(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The path of a published trace; skips the test if it is absent. TRACES=DIR says where they are."""
    folder = Path(os.environ.get("TRACES", request.config.rootpath / ".." / "shared" / "traces"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"published trace {name} is not at hand (TRACES=DIR says where)")
        return path

    return find
