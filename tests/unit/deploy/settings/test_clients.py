"""Clients that wait, as settings: in flags and files, and what a run may leave out of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.settings.clients import Warmup, parse_warmup
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError
from scheduler.sources.clients.groups import ClientGroup, ThinkKind, ThinkTime


def test_without_concurrency_nobody_waits() -> None:
    clients = Settings.from_plain({}).clients
    assert clients.groups == ()
    assert clients.sessions == "auto"
    assert not clients.warmup


def test_each_class_has_its_clients_who_think_and_begin_alike() -> None:
    plain = {"concurrency": "chat=20,batch=2", "think_time": "exponential:2s", "ramp": "30s"}
    think = ThinkTime(2.0, ThinkKind.EXPONENTIAL)
    expected = (ClientGroup(20, "chat", think, 30.0), ClientGroup(2, "batch", think, 30.0))
    assert Settings.from_plain(plain).clients.groups == expected


@pytest.mark.parametrize("text", ["concurrency: 64\n", "concurrency: '64'\n"])
def test_a_number_in_a_file_is_a_number_or_a_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clients.yaml"
    path.write_text(text)
    assert load_settings(str(path), {}).clients.groups == (ClientGroup(64),)


@pytest.mark.parametrize("value", ["0", "-3", "1.5", "true", "[3]", "{a: 3}"])
def test_what_is_no_concurrency_in_a_file_is_one_line(tmp_path: Path, value: str) -> None:
    path = tmp_path / "clients.yaml"
    path.write_text(f"concurrency: {value}\n")
    with pytest.raises(ConfigError, match="concurrency") as caught:
        load_settings(str(path), {})
    assert "\n" not in str(caught.value)


def test_a_warm_up_is_a_number_of_requests_or_a_time() -> None:
    assert parse_warmup("") == Warmup()
    assert not parse_warmup("")
    assert parse_warmup("100") == parse_warmup(100) == Warmup(num_requests=100)
    assert parse_warmup("2k") == Warmup(num_requests=2_000)
    assert parse_warmup("60s") == Warmup(until_ns=60 * 10**9)
    assert parse_warmup("1.5min") == Warmup(until_ns=90 * 10**9)


@pytest.mark.parametrize("text", ["-3", "1.5", "-3s", "soon", "100 requests"])
def test_what_is_no_warm_up_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no warm-up; give a number of requests|is out of range"):
        parse_warmup(text)
