"""The story of one request is in order, and the page that shows one is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.story import DEFAULTS, lines, story_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "one-request.md"


def test_the_page_shows_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    trace, request_id = DEFAULTS
    assert "\n".join(lines(story_of(int(request_id), [trace]))) in PAGE.read_text(encoding="utf-8")


def test_a_request_without_a_cache_goes_straight_to_prefill() -> None:
    heard = story_of(3, [str(ROOT / "examples" / "demo.jsonl"), "--limit", "5", "--cache", "none"])
    assert [one.what for one in heard if one.address == "core"][:2] == ["RequestsArrived", "PrefillStepped"]
    assert [one.now_ns for one in heard] == sorted(one.now_ns for one in heard)
    assert heard[-1].what == "DecodeStepped"
