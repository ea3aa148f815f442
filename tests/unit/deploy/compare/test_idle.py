"""Where the SLO is attained at no rate, the page says what fails when nothing waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.cli import main
from deploy.compare.idle import Misses, idle_lines
from deploy.settings.load import load_settings

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
SLO = "ttft=60ms,tpot=50ms,e2e=9s"


def lines(**change: Any) -> list[str]:
    misses = replace(Misses(requests=200, ttft=0, tpot=0, e2e=0, unfinished=0, prompt_tokens=None), **change)
    return idle_lines(misses, load_settings(None, {"slo": SLO, "plan": "2x16p+1x32p+1x96d+48c"}))


def test_each_limit_that_is_missed_has_its_line_with_what_would_help() -> None:
    (ttft,) = lines(ttft=46, prompt_tokens=8864)
    assert ttft == (
        "46 of 200 requests need more than 60 ms to the first token even when nothing waits: no prompt above 8,864 "
        "tokens is quicker on 16 to 32 NPUs; larger prefill instances help"
    )
    (tpot,) = lines(tpot=7)
    assert tpot.startswith(
        "7 of 200 requests have a TPOT above 50 ms even when nothing waits, on 96 NPUs; larger decode"
    )
    assert [line.split(" of")[0] for line in lines(tpot=7, e2e=9, unfinished=3)] == ["7", "9", "3"]
    assert lines() == ["requests miss the limits of their classes even when nothing waits"]


def test_goodput_0_has_its_reason_on_the_page_and_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["compare", "--trace", DEMO, "--limit", "100", "--slo", "ttft=60ms", "--jobs", "1", "--goodput"]
    assert main(options) == 0
    page = capsys.readouterr().out
    assert "No goodput, cloudmatrix: the SLO is attained at no rate" in page
    assert main([*options, "--json"]) == 0
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    goodput = variant["goodput"]
    assert (goodput["requests_per_s"], len(goodput["curve"])) == (0.0, 2)
    idle = goodput["misses_at_idle"]
    assert idle["ttft"] / idle["requests"] == pytest.approx(1 - goodput["curve"][0]["attainment"])
    assert idle["reasons"][0] in page
    assert f"no prompt above {idle['prompt_tokens']:,} tokens" in page


def test_clusters_are_compared_with_their_plans_caches_and_scopes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "cloudmatrix384", "h100-cluster", "--trace", DEMO, "--limit", "20", "--jobs", "1"]) == 0
    page = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:3] for line in page.split("Runs ")[1].splitlines()[1:3]}
    assert rows == {
        "cloudmatrix384": ["14x16p+1x160d+48c", "pool"],
        "h100-cluster": ["5x32p+3x72d+48c", "local"],
    }
    assert "J/token is of the NPUs of the plan and, at feeds, of the whole cluster" in page
