"""Cache policies as settings: by name, of one's own, and told of when they are wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.cache_policy import CacheUse
from scheduler.protocol.errors import ConfigError
from workers.cache.pool import CachePool
from workers.cache.session_pool import SessionPool
from workers.cache.session_store import SessionStore
from workers.prefill.instance import PrefillInstance

ROOT = Path(__file__).parents[4]
DEMO = str(ROOT / "examples" / "demo.jsonl")
PAGE = (ROOT / "docs" / "caching.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
PLAN = "2x16p+1x160d+2c"


def settings(**told: object):
    return load_settings(None, {"plan": PLAN, **told})


def test_least_recently_used_asks_nobody() -> None:
    blueprint = Blueprint(settings(), 512)
    assert type(blueprint.make_worker("cache")) is CachePool
    assert not blueprint.make_core().state.config.has_cache_policy


@pytest.mark.parametrize("policy", ["ttl", "ttl:ttl=30s,share=0.5", "pin:limit_s=5min", "prefetch"])
def test_a_pool_has_a_policy_that_is_told_of_sessions(policy: str) -> None:
    blueprint = Blueprint(settings(cache_policy=policy, cache_ssd_bytes_per_server=1e12), 512)
    assert type(blueprint.make_worker("cache")) is SessionPool
    config = blueprint.make_core().state.config
    assert config.has_cache_policy
    assert config.tells_sessions


def test_each_instance_with_a_cache_of_its_own_has_a_policy_of_its_own() -> None:
    blueprint = Blueprint(settings(cache_policy="pin", cache="local"), 512)
    first, second = (blueprint.make_worker(f"prefill-{index}") for index in range(2))
    assert isinstance(first, PrefillInstance)
    assert isinstance(second, PrefillInstance)
    assert isinstance(first.cache, SessionStore)
    assert isinstance(second.cache, SessionStore)
    assert first.cache._policy is not second.cache._policy


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            {"cache_policy": "tll"},
            "--cache-policy: unknown value 'tll'; did you mean ttl? known: lru, pin",
        ),
        ({"cache_policy": "lru:ttl=3"}, "--cache-policy: lru takes no options, and was given 'ttl=3'; leave it out"),
        ({"cache_policy": "ttl:ttl=-1"}, "--cache-policy: ttl: option ttl=-1 is not a number of 0 or more"),
        (
            {"cache_policy": "pin:share=1.5"},
            "--cache-policy: pin: share=1.5 is no part of the cache; give",
        ),
        ({"cache_policy": "pin:limit=3"}, "--cache-policy: pin: unknown option 'limit'; did you mean limit_s?"),
        ({"cache_policy": "ttl", "cache": "none"}, "cache_policy is ttl, and cache is none: say --cache pool or local"),
        ({"cache_policy": "prefetch"}, "cache_policy is prefetch, and there is no SSD to fetch from: give cache_ssd"),
    ],
)
def test_what_cannot_be_is_one_line(told: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Blueprint(settings(**told), 512)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("class Own:\n    pass", "own.py: class Own has no method rank(self, use) or keep_ns(self, session) or fetch"),
        ("class Other:\n    def rank(self, use): return 0", "own.py: no class 'Own'; policies in it: Other"),
        (
            "class Own:\n    reads_sessions = 3\n    def rank(self, use): return 0",
            "own.py:Own: reads_sessions is 3",
        ),
        ("class Own:\n    def rank(self use): return 0", "own.py:2: "),
    ],
)
def test_a_file_that_cannot_be_is_one_line(
    source: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(source)
    assert main(["replay", DEMO, "--cache-policy", "own.py:Own"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"supernode: --cache-policy: {line}")
    assert error.count("\n") == 1


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, object], str]:
    """The document of a run whose pool is too small for its prompts, and what it says besides."""
    small = ["--config", "small.yaml", "--json"]
    Path("small.yaml").write_text(f"plan: {PLAN}\ncache_bytes_per_server: 3e9\n")
    assert main(["replay", DEMO, "--limit", "300", *small, *arguments]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_the_example_of_the_page_runs_and_does_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EXAMPLE.count("\n") <= 22
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(EXAMPLE)
    plain, _ = run(capsys)
    ours, _ = run(capsys, "--cache-policy", "mine.py:ShortFirst:kept_s=30")
    assert plain["cache"] != ours["cache"]
    assert "cache_policy" not in plain
    assert ours["cache_policy"] == {
        "kept_blocks": 0, "expired_blocks": 0, "prefetched_tokens": 0, "prefetch_used_tokens": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return 1 // 0", "own.py:2: ZeroDivisionError: integer division or modulo by zero"),
        ("return 'x'", "own.py:2: rank() returned 'x'; return a number"),
        ("return float('nan')", "own.py:2: rank() returned nan; return a number"),
    ],
)
def test_a_policy_that_fails_is_least_recently_used_and_told_of(
    body: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(f"class Own:\n    def rank(self, use): {body}\n    reads_sessions = False\n")
    plain, _ = run(capsys)
    failing, err = run(capsys, "--cache-policy", "own.py:Own")
    assert plain["cache"] == failing["cache"]
    assert plain["ttft_s"] == failing["ttft_s"]
    assert err == f"the cache policy failed 300 times, first: {error}; the least recently used blocks went first\n"


def test_a_known_policy_without_sessions_does_what_least_recently_used_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, _ = run(capsys)
    pinned, err = run(capsys, "--cache-policy", "pin")
    assert plain["cache"] == pinned["cache"]
    assert err.startswith("no request told of a session")


def test_what_a_use_tells_is_what_a_real_one_could_know() -> None:
    assert CacheUse.__struct_fields__ == ("now_ns", "session", "tenant", "num_tokens", "cached_tokens")
