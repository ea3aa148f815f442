"""What holds for all tests: unit and sim tests cannot reach Ray, and in CI hypothesis repeats the same examples."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

WITHOUT_RAY = ("unit", "sim", "golden", "exercises")
"""Directories of tests that neither import nor start Ray."""

LAST = "live"
"""These run after all others, so that Ray is not yet in the process while the others run."""

LIVE_S = 300
"""Wall seconds after which one of them hangs: what the machine does besides delays a start of Ray by minutes."""

TESTS = Path(__file__).parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever is started in the background of a script ignores interrupts, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


class RayBlocker:
    """A finder, asked before all others, that refuses `import ray`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for ray and its sub-modules; know nothing of any other."""
        if name == "ray" or name.startswith("ray."):
            raise ImportError(
                f"a test under tests/{' or tests/'.join(WITHOUT_RAY)} imports {name}; move it to tests/live"
            )
        return None


def _refuse_init(*_arguments: object, **_options: object) -> None:
    raise RuntimeError(f"a test under tests/{' or tests/'.join(WITHOUT_RAY)} calls ray.init; move it to tests/live")


def _directory(path: Path) -> str:
    return path.relative_to(TESTS).parts[0]


@pytest.fixture(autouse=True)
def _without_ray(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Block Ray for unit and sim tests, whether or not something imported it earlier in this process."""
    if _directory(request.path) not in WITHOUT_RAY:
        yield
        return
    if "ray" in sys.modules:
        monkeypatch.setattr(sys.modules["ray"], "init", _refuse_init)
    blocker = RayBlocker()
    sys.meta_path.insert(0, blocker)
    yield
    sys.meta_path.remove(blocker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live tests go last, and may take their time; the order is otherwise unchanged."""
    items.sort(key=lambda item: _directory(item.path) == LAST)
    for item in items:
        if _directory(item.path) == LAST and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIVE_S))
