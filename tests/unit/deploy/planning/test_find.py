"""What may be asked in place of a trace, and in place of limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.planning.demand import demand_of
from deploy.planning.load_text import is_load, workload_of
from deploy.planning.presets import PRESETS, limits
from scheduler.metrics.slo import parse_slo
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions


def test_a_load_has_the_rate_and_the_lengths_that_were_given() -> None:
    with workload_of("rate=5, prompt=4k, output=300") as path:
        demand = demand_of(path, TraceOptions(), 0.99, has_cache=True)
    assert not Path(path).exists()
    assert demand.num_requests == 3000
    assert demand.requests_per_s == pytest.approx(5, rel=0.1)
    assert demand.prompt_tokens == pytest.approx(4000, rel=0.1)
    assert demand.output_tokens == pytest.approx(300, rel=0.1)
    assert demand.cached_share == 0
    assert demand.long_prompt_tokens > 2 * demand.prompt_tokens


def test_a_file_is_no_load_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_load("rate=5,prompt=4")
    Path("rate=5,prompt=4").touch()
    assert not is_load("rate=5,prompt=4")
    assert not is_load("trace.jsonl")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rate=5,prompt=4000", "output is missing"),
        ("rate=0,prompt=4000,output=3", "rate is 0"),
        ("rate=5,prompt=,output=3", "prompt is nothing"),
        ("rate=nan,prompt=1,output=3", "rate is nan"),
        ("rate=inf,prompt=1,output=3", "rate is inf"),
        ("rate=5,rate=6,prompt=1,output=3", "rate is not expected there"),
        ("rate=5,prompt=1,output=3,users=2", "users is not expected there"),
    ],
)
def test_a_load_that_is_none_is_told_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told), workload_of(text):
        pass


def test_presets_are_limits() -> None:
    for preset, of_models in PRESETS.items():
        for model, text in of_models.items():
            slo = parse_slo(limits(preset, model))
            assert slo == parse_slo(text)
            assert slo.ttft_s is not None
            assert slo.tpot_s is not None


def test_what_is_no_preset_stays() -> None:
    assert limits("ttft=1s", "deepseek-r1") == "ttft=1s"


def test_a_preset_says_for_which_models_it_is() -> None:
    with pytest.raises(ConfigError, match="has no limits for qwen3-235b; it has them for deepseek-r1"):
        limits("mlperf-server", "qwen3-235b")
