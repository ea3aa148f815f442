"""Classes of a configuration: as text, as a section of a file, and what comes of them in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.run.replay import ReplayJob, replay_virtual, write_result
from deploy.settings.flow_control import flow_control
from deploy.settings.load import load_settings
from deploy.settings.request_classes import cheap_hours
from deploy.settings.settings import Settings
from scheduler.metrics.outcome.table import render
from scheduler.metrics.slo import Slo
from scheduler.policies.classes import parse_classes
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from sim_hw.cost.tariffs import find_tariff

HOUR_NS = 3600 * 10**9

FILE = """\
slo: ttft=2s,tpot=50ms
tariff: china-average-time-of-use
classes:
  chat:
    priority: 2
    timeout_s: 30
  batch: {ttft_s: 7200, tpot_ms: 100, priority: -1, deferrable_s: 72000, tenants: [1, 4]}
"""


def config_of(tmp_path: Path, text: str) -> Settings:
    """A configuration from a file."""
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return load_settings(str(path), {})


def test_a_file_and_a_flag_say_the_same(tmp_path: Path) -> None:
    config = config_of(tmp_path, FILE)
    text = "chat:priority=2,timeout_s=30;batch:ttft_s=7200,tpot_ms=100,priority=-1,deferrable_s=72000,tenants=1+4"
    assert config.flat["classes"] == text
    flags = {"classes": text, "slo": "ttft=2s,tpot=50ms", "tariff": "china-average-time-of-use"}
    assert load_settings(None, flags).digest() == config.digest()
    # What a class does not say is what the run says.
    chat, batch = Slo(2.0, 0.05), Slo(7200.0, 0.1)
    assert config.requests.judged_slo == Slo(2.0, 0.05, None, (("chat", chat), ("batch", batch)))
    rules = flow_control(config.requests, config.money.tariff, 16)
    assert [one.ttft_limit_ns for one in rules.by_class] == [2 * 10**9, 2 * 10**9, 7200 * 10**9]
    assert [one.timeout_ns for one in rules.by_class] == [0, 30 * 10**9, 0]
    assert [one.priority for one in rules.by_class] == [0, 2, -1]
    assert rules.cheap_hours == ((0, 8 * HOUR_NS),)
    assert not rules.is_plain


def test_hours_are_cheap_only_where_a_price_changes_and_somebody_waits() -> None:
    waits, hurries = parse_classes("batch:deferrable_s=9"), parse_classes("batch:ttft_s=9")
    by_time, flat = find_tariff("china-average-time-of-use"), find_tariff("china-average")
    assert cheap_hours(waits, by_time)
    assert cheap_hours(hurries, by_time) == ()
    assert cheap_hours(waits, flat) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "classes:\n  chat:\n    prioritty: 1\n",
            ":3: classes.chat.prioritty is not known here; did you mean",
        ),
        ("classes:\n  chat: {priority: high}\n", ":2: classes.chat.priority is 'high'; give a number"),
        ("classes:\n  a: {}\n  chat: {ttft_s: -1}\n", ":3: class chat: ttft_s cannot be '-1'; give a number above 0"),
        ("classes:\n  chat: fast\n", ":2: classes.chat is 'fast'; give a section"),
        ("classes: 'a;a'\n", ":1: classes: class a is given twice; leave one out"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'run.yaml'}{told}")


def rows_of(day: range, *, chat_hours: int) -> list[dict[str, Any]]:
    """A chat at midnight and in each of so many hours, and long batch prompts in each hour of the day that is named."""
    chats = [(0, 300, "chat"), *((hour * 3_600_000 + 1_800_000, 300, "chat") for hour in range(1, chat_hours))]
    batches = [(hour * 3_600_000 + 5_000, 100_000, "batch") for hour in day for _ in range(40)]
    return [
        {"timestamp": at_ms, "input_length": tokens, "output_length": 20, "class": name}
        for at_ms, tokens, name in sorted(chats + batches)
    ]


def replayed(tmp_path: Path, rows: list[dict[str, Any]], text: str) -> Any:
    """What became of these rows on one prefill and one decode instance."""
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = config_of(tmp_path, text + "plan: 1x16p+1x16d\ncache: none\nprice: bought=0\n")
    return replay_virtual(ReplayJob(str(trace), TraceOptions(), config, keeps_log=True))


PATIENT = """\
tariff: china-average-time-of-use
slo: ttft=2s
order: priority
classes:
  chat: {priority: 1}
  batch: {ttft_s: 72000, deferrable_s: 54000}
"""


def test_who_waits_for_cheap_hours_saves_money_and_disturbs_nobody(tmp_path: Path) -> None:
    rows = rows_of(range(14, 22), chat_hours=27)
    patient = replayed(tmp_path, rows, PATIENT)
    hurried = replayed(tmp_path, rows, PATIENT.replace(", deferrable_s: 54000", ""))
    one, other = patient.document(), hurried.document()
    # The same work and time, so the same energy but for what passes shared; all of it between midnight and eight.
    assert one["simulated_s"] == pytest.approx(other["simulated_s"], rel=1e-3)
    assert one["energy"]["joules"] == pytest.approx(other["energy"]["joules"], rel=0.01)
    started_h = patient.records.prefill_started_ns[patient.records.request_class == 2] / HOUR_NS
    assert len(started_h) == 320
    assert all(24 <= hour < 32 for hour in started_h)
    saved = other["cost"]["usd"] - one["cost"]["usd"]
    # Work of 13 to 22 h, at 1.5 and 1 times the average price, now costs half of it; what runs idle costs what it did.
    work_j = one["energy"]["by"]["prefill"] + one["energy"]["by"]["decode"]
    per_joule = 0.088 / 3.6e6
    assert 0.2 * per_joule * work_j < saved < 3 * per_joule * work_j
    assert one["classes"]["batch"]["slo"]["attainment"] == 1.0
    assert one["classes"]["chat"]["ttft_s"]["p90"] == other["classes"]["chat"]["ttft_s"]["p90"]
    assert one["classes"]["chat"]["slo"]["attainment"] == 1.0


def test_a_run_tells_of_its_classes(tmp_path: Path) -> None:
    rows = rows_of(range(1), chat_hours=2)
    rows[0]["class"] = "chta"
    result = replayed(tmp_path, rows, "slo: ttft=1s\nclasses:\n  chat: {}\n  batch: {ttft_s: 600}\n")
    classes = result.document()["classes"]
    assert [use["requests"]["arrived"] for use in classes.values()] == [1, 1, 40]
    assert list(classes) == ["default", "chat", "batch"]
    assert result.document()["slo"]["attainment"] == 1.0
    assert any("'chta'" in warning for warning in result.warnings)
    assert "Classes           arrived   not served" in render(result.summary)
    write_result(str(tmp_path / "out"), result, result.document())
    header, *lines = (tmp_path / "out" / "requests.csv").read_text().splitlines()
    assert header.endswith(",class")
    assert [line.rpartition(",")[2] for line in lines] == ["default", *["batch"] * 40, "chat"]
