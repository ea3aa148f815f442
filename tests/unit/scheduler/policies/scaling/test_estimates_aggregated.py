"""What autoscalers want of instances that compute prompts and decode, where the right counts are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from scheduler.policies.registry import make_scaling_policy
from scheduler.policies.scaling.estimates import RoleLoad, decode_pace, demand, prefill_pace, role_loads
from scheduler.policies.scaling.threshold import Threshold
from scheduler.policies.scaling_view import OutputWork, PromptWork, RoleFacts, RoleSample, ScalingSample, ScalingView
from tests.unit.scheduler.policies.scaling.samples import EMPTY, IDLE, INTERVAL_S, for_minutes, view

STEP_S, SEQUENCE_S, PROMPT_TOKEN_S = 0.01, 0.0001, 0.00002
"""A step is so long, and longer for each of its sequences and each token of a prompt in it."""

CHUNK_TOKENS, BUDGET_TOKENS = 1_000, 2_000

LEARNED = ("sla", "energy", "queue")


def working(
    requests_per_s: float, instances: int, *, prompt_tokens: int = 1_000, output_tokens: int = 100, late: int = 0
) -> ScalingSample:
    """An interval of so many instances under a steady load, whose prompts are computed a chunk a step."""
    prompts, outputs = (requests_per_s * tokens / instances for tokens in (prompt_tokens, output_tokens))
    step_s = STEP_S / (1 - PROMPT_TOKEN_S * prompts - SEQUENCE_S * outputs)
    sequences = outputs * step_s
    alone_s = STEP_S + SEQUENCE_S * sequences
    mixed_per_s, mixed_s = prompts / CHUNK_TOKENS, alone_s + PROMPT_TOKEN_S * CHUNK_TOKENS
    busy = min(1.0, mixed_per_s * mixed_s)
    requests = round(requests_per_s * INTERVAL_S)
    work = PromptWork(0, round(prompts * instances * INTERVAL_S), busy, busy * CHUNK_TOKENS / BUDGET_TOKENS, mixed_s)
    made = OutputWork(
        round(sequences * instances),
        round(outputs * instances * INTERVAL_S),
        step_s,
        alone_s,
        round(mixed_per_s * instances * INTERVAL_S),
    )
    role = replace(
        IDLE, serving=instances, wanted=instances, kv_capacity_tokens=10**7 * instances, prompts=work, outputs=made
    )
    return replace(
        EMPTY,
        length_s=INTERVAL_S,
        arrived_requests=requests,
        arrived_tokens=prompt_tokens * requests,
        first_tokens=requests,
        prompt_tokens=prompt_tokens * requests,
        ttft_s=mixed_s,
        late_requests=late,
        finished_requests=requests,
        output_tokens=output_tokens * requests,
        roles={"aggregated": role},
    )


def varied(rate: float, instances: int, output_tokens: int = 100) -> list[ScalingSample]:
    """Ten minutes about a rate, so that the line of step times can be learned."""
    rates = [rate * (0.9 + 0.1 * (i % 5) / 4) for i in range(20)]
    return [working(one, instances, output_tokens=output_tokens) for one in rates]


def shown(samples: Sequence[ScalingSample]) -> ScalingView:
    return view(*samples, roles={"aggregated": RoleFacts(16, 1, 100, 50)})


def of_load(samples: Sequence[ScalingSample]) -> Mapping[str, RoleLoad] | None:
    placed = shown(samples).samples
    return role_loads(placed, demand(placed, 180.0, 0.0))


def wanted(name: str, samples: Sequence[ScalingSample]) -> int:
    return make_scaling_policy(name).wanted(shown(samples)).instances["aggregated"]


@pytest.mark.parametrize("output_tokens", [50, 400, 2_000])
def test_steps_are_learned_with_the_prompts_that_come_with_outputs(output_tokens: int) -> None:
    samples = varied(8.0, 4, output_tokens)
    per_output = 1_000 / output_tokens
    pace = decode_pace(samples, "aggregated", per_output)
    assert pace is not None
    assert pace.constant_s == pytest.approx(STEP_S, rel=0.02)
    assert pace.sequence_s == pytest.approx(SEQUENCE_S + PROMPT_TOKEN_S * per_output, rel=0.02)
    prompts = prefill_pace(samples, "aggregated")
    assert prompts is not None
    assert prompts.tokens_per_s == pytest.approx(CHUNK_TOKENS / prompts.pass_s, rel=0.01)


@pytest.mark.parametrize("name", ["sla", "energy"])
def test_whichever_needs_more_decides(name: str) -> None:
    """With short outputs prompts fill the steps, with long ones sequences do, and both together need no sum."""
    few, many = (of_load(varied(rate, 4, output_tokens)) for rate, output_tokens in ((20.0, 5), (4.0, 3_000)))
    assert few is not None
    assert many is not None
    for loads, of_prompts in ((few, True), (many, False)):
        load = loads["aggregated"]
        assert load.prefill is not None
        assert load.decode is not None
        prefill = load.prefill_tokens_per_s / load.prefill.tokens_per_s
        decode = load.decode_tokens_per_s / load.decode.tokens_per_s(0.05, 1_000.0)
        assert (prefill > decode) == of_prompts
    assert wanted(name, varied(150.0, 4, 5)) > wanted(name, varied(60.0, 4, 5))
    assert wanted(name, varied(8.0, 4, 3_000)) > wanted(name, varied(2.0, 4, 3_000))


@pytest.mark.parametrize("name", LEARNED)
def test_nothing_is_wanted_before_anything_is_known(name: str) -> None:
    assert make_scaling_policy(name).wanted(shown([working(4.0, 4)])).instances == {}
    silent = replace(IDLE, serving=4)
    unheard = replace(working(4.0, 4), roles={"aggregated": silent})
    assert make_scaling_policy(name).wanted(shown([unheard] * 20)).instances == {}


@pytest.mark.parametrize("name", ["threshold", *LEARNED])
def test_a_steady_load_settles(name: str) -> None:
    """Whatever it wants it gets; then it wants the same for an hour."""
    policy, count, changes = make_scaling_policy(name), 8, 0
    samples = [working(12.0 + (i % 5) / 2, count) for i in range(20)]
    for step in range(120):
        facts = {"aggregated": RoleFacts(16, 1, 100, 50)}
        said = policy.wanted(view(*samples, at=step, roles=facts)).instances.get("aggregated", count)
        changes += said != count and step > 20
        count = max(1, said)
        samples = [*samples[1:], working(12.0 + (step % 5) / 2, count)]
    assert changes <= 1


@pytest.mark.parametrize(
    ("prompts", "outputs", "kv_tokens", "instances"),
    [
        (PromptWork(busy_share=1.0, budget_share=0.9), OutputWork(), 0, 6),  # 3.6 steps full, target 0.6
        (PromptWork(budget_share=0.1), OutputWork(step_s=0.045), 0, 6),  # of 50 ms
        (PromptWork(budget_share=0.1), OutputWork(step_s=0.01), 1_800, 6),
        (PromptWork(budget_share=0.6), OutputWork(step_s=0.02), 200, 4),
        (PromptWork(busy_share=1.0, budget_share=0.2), OutputWork(step_s=0.01), 0, 2),
    ],
)
def test_threshold_goes_by_budget_kv_or_pace(
    prompts: PromptWork, outputs: OutputWork, kv_tokens: int, instances: int
) -> None:
    role = replace(IDLE, serving=4, kv_tokens=kv_tokens, prompts=prompts, outputs=outputs)
    steady = replace(EMPTY, roles={"aggregated": role})
    assert Threshold().wanted(shown(for_minutes(10, steady))).instances == {"aggregated": instances}


def test_what_a_role_does_not_do_it_is_not_wanted_for() -> None:
    """Beside prefill instances that take all prompts, aggregated ones count what they decode, and the other way."""
    steady = varied(8.0, 4, 400)
    one: Sequence[Mapping[str, RoleSample]] = [sample.roles for sample in steady]
    apart = [
        replace(
            sample,
            roles={
                "prefill": replace(roles["aggregated"], outputs=OutputWork()),
                "aggregated": replace(roles["aggregated"], prompts=PromptWork()),
            },
        )
        for sample, roles in zip(steady, one, strict=True)
    ]
    loads = of_load(apart)
    assert loads is not None
    assert loads["prefill"].decode is None
    assert loads["aggregated"].prefill is None
    assert loads["aggregated"].decode is not None
    assert loads["aggregated"].decode.sequence_s == pytest.approx(SEQUENCE_S, rel=0.02)
    assert loads["prefill"].prefill_tokens_per_s > 0 == loads["aggregated"].prefill_tokens_per_s
