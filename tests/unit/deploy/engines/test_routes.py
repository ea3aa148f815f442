"""The table of an engine's routes: each is answered by a method, once, and told of in the documentation."""

from __future__ import annotations

from collections import Counter

from deploy.engines.routes import ENGINE_ROUTES
from deploy.engines.service import EngineService
from tests.source_files import ROOT


def test_each_route_stands_once_and_is_answered() -> None:
    assert set(Counter((one.method, one.path) for one in ENGINE_ROUTES).values()) == {1}
    assert all(callable(getattr(EngineService, one.name)) for one in ENGINE_ROUTES)


def test_what_does_not_answer_everybody_is_said() -> None:
    assert {one.path for one in ENGINE_ROUTES if one.is_open} == {"/health", "/ping", "/health_generate"}


def test_the_documentation_tells_of_each() -> None:
    page = (ROOT / "docs/serving/engines.md").read_text(encoding="utf-8")
    assert [one.path for one in ENGINE_ROUTES if one.path not in page] == []
