"""Who was not served is told by which limit: in the table, in the JSON, and by its true number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.run.finish_limits import finish_limits
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.finish import FAILED, REJECTED, FinishReason


def rows_of(path: Path, *prompt_tokens: int) -> str:
    """A trace of one request a millisecond."""
    rows = [
        json.dumps({"timestamp": at, "input_length": tokens, "output_length": 50})
        for at, tokens in enumerate(prompt_tokens)
    ]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def limits_of(**said: str | float) -> dict[FinishReason, str]:
    return dict(finish_limits(Blueprint(Settings.from_plain(said), 512)))


def test_the_only_reason_is_told_with_its_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = rows_of(tmp_path / "long.jsonl", 190_000, 170_000, 163_840)
    assert main(["replay", trace]) == 0
    limit = "prompt and first token longer than 163,840 positions"
    assert f"\n  too_long              3  {limit}\n" in capsys.readouterr().out
    assert main(["replay", trace, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finish_limits"] == {"too_long": limit}


def test_the_limit_told_is_the_one_that_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", rows_of(tmp_path / "fits.jsonl", 163_839), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requests"]["finished"] == 1
    assert "finish_limits" not in found


@pytest.mark.parametrize(
    ("reason", "said", "text"),
    [
        (FinishReason.TIMED_OUT, {"request_timeout_s": 2.5}, "not finished after 2.5 s"),
        (
            FinishReason.TIMED_OUT,
            {"request_timeout_s": 9, "classes": "chat:timeout_s=3;batch:priority=-1"},
            "not finished after 9 s, chat 3 s",
        ),
        (FinishReason.OVERLOAD, {"max_open_requests": 1200}, "more than 1,200 requests open"),
        (FinishReason.ADMISSION, {"admission": "token_bucket:burst_tokens=9"}, "not admitted by token_bucket:burst_t"),
        (FinishReason.RETRIES_EXHAUSTED, {}, "lost with its worker more than 3 times"),
    ],
)
def test_limits_are_those_of_the_settings(reason: FinishReason, said: dict[str, str | float], text: str) -> None:
    assert limits_of(**said)[reason].startswith(text)


def test_every_end_but_those_of_who_finished_has_a_limit() -> None:
    assert set(limits_of()) == {*REJECTED, *FAILED}
    assert all(limits_of().values())


def test_a_comparison_tells_the_limit_of_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = rows_of(tmp_path / "long.jsonl", 190_000, 10)
    assert main(["compare", "--trace", trace, "--policy", "cloudmatrix,least_loaded", "--jobs", "1"]) == 0
    told = [line.split() for line in capsys.readouterr().out.split("Not served")[1].splitlines()[1:3]]
    assert [row[:3] for row in told] == [[name, "too_long", "1"] for name in ("cloudmatrix", "least_loaded")]
