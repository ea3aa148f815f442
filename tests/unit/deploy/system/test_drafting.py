"""What a run drafts: from its settings to decode instances, and what cannot be said together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.system.drafting import drafting_of
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from sim_hw.models.published import LLAMA_3_1_70B
from sim_hw.operators.operating_point import Drafter
from workers.decode.instance import DecodeInstance

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
PLAN = "2x16p+1x32d"


def settings(**told: Any) -> Settings:
    return load_settings(None, {"plan": PLAN, "cache": "none", **told})


def replayed(**told: Any) -> ReplayResult:
    return replay_virtual(ReplayJob(DEMO, TraceOptions(120, 1, 1.0, 0, False, None), settings(**told)))


@pytest.mark.parametrize(
    ("told", "drafts", "drafter", "acceptance"),
    [
        ({}, 1, Drafter.MTP, 0.7),
        ({"mtp": False}, 0, Drafter.MTP, 0.7),
        ({"drafts": 0}, 0, Drafter.MTP, 0.7),
        ({"drafts": 3, "acceptance": 0.8}, 3, Drafter.MTP, 0.8),
        ({"drafts": 2, "accept_length": 1.75}, 2, Drafter.MTP, 0.5),
        ({"drafter": "ngram", "drafts": 4, "acceptance": 0.3}, 4, Drafter.NGRAM, 0.3),
        ({"model": "qwen3-32b"}, 0, Drafter.MTP, 0.7),
        ({"model": "llama-3.1-405b", "drafter": "model", "draft_model": "llama-3.1-70b"}, 1, Drafter.MODEL, 0.7),
        ({"model": "qwen3-32b", "drafter": "eagle"}, 1, Drafter.EAGLE, 0.7),
    ],
)
def test_what_is_drafted(told: dict[str, Any], drafts: int, drafter: Drafter, acceptance: float) -> None:
    found = drafting_of(settings(**told))
    assert (found.drafts, found.drafter, found.is_sampled) == (drafts, drafter, False)
    assert found.acceptance == pytest.approx(acceptance)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"mtp": False, "drafts": 2}, "drafts is 2 and mtp is off, which means that nothing is drafted"),
        ({"model": "qwen3-32b", "drafts": 1}, "qwen3-32b has no MTP module to draft with: give drafter eagle or ngram"),
        ({"model": "qwen3-32b", "accepted_tokens": "sampled"}, "nothing is drafted .qwen3-32b has no MTP module."),
        ({"mtp": False, "accepted_tokens": "sampled"}, "accepted_tokens is sampled, and nothing is drafted"),
        ({"drafts": 0, "acceptance": 0.5}, "acceptance is 0.5, and nothing is drafted .drafts is 0 or mtp is off."),
        ({"mtp": False, "drafter": "eagle"}, "drafter is eagle, and nothing is drafted"),
        ({"acceptance": 0.5, "accept_length": 1.5}, "acceptance 0.5 and accept_length 1.5 say the same; leave one out"),
        ({"drafter": "model"}, "drafter model and draft_model go together: give both or neither"),
        ({"draft_model": "llama-3.1-70b"}, "drafter model and draft_model go together: give both or neither"),
        ({"drafter": "model", "draft_model": "qwen3-32b"}, "a vocabulary of 151936 tokens, deepseek-r1 one of 129280"),
        ({"accept_length": 2.5}, "accept_length 2.5: a step of 1 drafts yields 1 to 2 tokens; change it or drafts"),
        ({"drafts": 17}, "drafts: 17 is out of range; give a number from 0 to 16"),
        ({"acceptance": 1.5}, "acceptance: 1.5 is out of range; give a number from 0 to 1"),
    ],
)
def test_nonsense_is_one_line(told: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as caught:
        Blueprint(settings(**told), 512).decode_infos()
    assert "\n" not in str(caught.value)


def test_a_draft_layer_keeps_kv_and_text_seen_before_none() -> None:
    tokens = [
        Blueprint(settings(**told), 512).kv_bytes_per_token
        for told in ({"drafts": 0}, {}, {"drafts": 3}, {"drafter": "eagle"}, {"drafter": "ngram", "drafts": 4})
    ]
    assert tokens == [70_272, 71_424, 71_424, 71_424, 70_272]


def test_a_draft_model_keeps_kv_and_is_loaded() -> None:
    told = {"model": "llama-3.1-405b", "cluster": "h200-cluster", "plan": "2x8p+2x8d"}
    alone = Blueprint(settings(**told), 512)
    both = Blueprint(settings(**told, drafter="model", draft_model="llama-3.1-70b", drafts=2), 512)
    assert both.kv_bytes_per_token == alone.kv_bytes_per_token + LLAMA_3_1_70B.kv_bytes_per_token(mtp=False)
    defaults = both.cluster.defaults
    more_bytes = both.drafting.weight_bytes(both.model, defaults) - alone.drafting.weight_bytes(alone.model, defaults)
    assert more_bytes == LLAMA_3_1_70B.total_parameters * defaults.precision.bytes_per_element
    told_again = Settings.from_plain(both.settings.to_plain())
    assert told_again.speculation.draft_model == LLAMA_3_1_70B


def test_settings_that_say_what_is_so_anyway_change_no_digest() -> None:
    assert settings(accepted_tokens="expected", drafter="mtp").digest() == settings().digest()
    assert settings(accepted_tokens="sampled").digest() != settings().digest() != settings(drafts=2).digest()


def test_a_draw_is_of_the_seed_and_not_of_the_instance() -> None:
    def config(**told: Any) -> Any:
        instance = Blueprint(settings(accepted_tokens="sampled", **told), 512).make_worker("decode-0")
        assert isinstance(instance, DecodeInstance)
        return instance._config.sampling

    first = config()
    assert (first.drafts, first.acceptance) == (1, 0.7)
    assert first == config() == config(plan="2x16p+2x32d")
    assert first.key != config(seed=1).key


@pytest.mark.parametrize("plan", [PLAN, "1x64a"])
@pytest.mark.parametrize("drafts", [1, 3])
def test_sampled_tokens_are_as_many_and_their_tpot_scatters_about_the_expected(plan: str, drafts: int) -> None:
    expected, sampled = (
        replayed(plan=plan, drafts=drafts, accepted_tokens=accepted).records for accepted in ("expected", "sampled")
    )
    assert sampled.output_tokens.tolist() == expected.output_tokens.tolist()
    steady = expected.output_tokens > 20
    means = [float(np.nanmean(one.tpot_s[steady])) for one in (expected, sampled)]
    spreads = [float(np.nanstd(one.tpot_s[steady])) for one in (expected, sampled)]
    assert means[1] == pytest.approx(means[0], rel=0.03)
    assert spreads[1] > spreads[0]


def test_a_run_under_a_seed_is_one_run() -> None:
    first, again, other = (replayed(accepted_tokens="sampled", seed=seed).records for seed in (3, 3, 4))
    assert first.last_token_ns.tolist() == again.last_token_ns.tolist() != other.last_token_ns.tolist()
