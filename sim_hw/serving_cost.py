"""How long a prefill pass and a decode step last: DeepSeek-R1 in INT8 on CloudMatrix384, first version.

Both costs are affine in what the engines count. The slopes that are understood come from physics times a published
efficiency; what is left over is one named constant each, fixed by one published row of the CloudMatrix paper (arXiv
2506.12708 v3). Rows are named as in `tests/unit/sim_hw/test_serving_cost.py`, where every residual is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim_hw.chip import Precision
from sim_hw.chips import ASCEND_910C
from sim_hw.figure import Confidence, Figure
from sim_hw.memory import Role, weights_bytes_per_die
from sim_hw.models import DEEPSEEK_R1

ExpertBalance = Literal["default", "perfect"]

_CM = "CloudMatrix paper, arXiv 2506.12708 v3"
_TWO = Confidence.TWO_SOURCES
_ESTIMATE = Confidence.ESTIMATE

# Published efficiencies.

ATTENTION_EFFICIENCY = Figure(0.654, "1", f"{_CM} table 7: compute-bound MLA, share of BF16 peak of a die", _TWO)

MEMORY_EFFICIENCY = Figure(0.841, "1", f"{_CM} table 8: memory-bound MLA, share of HBM peak of a die", _TWO)

ATTENTION_CORE_SHARE = Figure(16 / 24, "1", f"{_CM} section 4.2.3: AIC cores of the attention stream in decode", _TWO)

MTP_ACCEPTANCE = Figure(0.7, "1", f"{_CM}: one speculative token, assumed accepted 70 % of the time", _TWO)

# Assumed.

PREFILL_LAUNCH_S = Figure(
    0.0061, "s", "assumed 61 layers x 20 operators x 5 us, a cost per operator that MS marks to be confirmed", _ESTIMATE
)

# Fitted: each fixed by the row it names, with everything above it in this file given.

LINEAR_EFFICIENCY = Figure(
    0.3883, "1", "share of INT8 peak in prefill's matrix products, exchange included; row cm_prefill_default", _ESTIMATE
)

EXPERT_IMBALANCE = Figure(
    1.390, "1", "load of the busiest rank over the mean, on routed experts; row cm_prefill_perfect_eplb", _ESTIMATE
)

CACHED_TOKEN_DIE_S = Figure(
    77.2e-6, "s", "low confidence: look-up, fetch and expansion of a token, die time; row cm_ems_reuse_gain", _ESTIMATE
)

DECODE_FIXED_S = Figure(
    19.998e-3,
    "s",
    "weights (13 ms by HBM rate), launch, barriers; rows cm_decode_b96_tpot, cm_decode_b8_tpot",
    _ESTIMATE,
)

DECODE_ROW_S = Figure(
    215.46e-6,
    "s",
    "projections, experts, exchange of one token row; rows cm_decode_b96_tpot, cm_decode_b8_tpot",
    _ESTIMATE,
)


@dataclass(frozen=True, slots=True)
class PrefillCost:
    """A pass of one prefill instance lasts the sum of four terms, seconds each."""

    fixed_s: float
    """Per pass: each die reads its weights once; launches."""
    token_s: float
    """Per computed token: matrix products with weights."""
    pair_s: float
    """Per (query, key) pair: attention."""
    cached_token_s: float
    """Per token found in the cache. The fit contains its transfer, 0.5 us of one die's link out of 77 us of a die."""

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Nanoseconds of a pass over the chunks that these totals sum up."""
        seconds = (
            self.fixed_s
            + self.token_s * computed_tokens
            + self.pair_s * attention_pairs
            + self.cached_token_s * cached_tokens
        )
        return round(seconds * 1e9)


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """A decode step lasts the maximum of `die_step_ps` over the dies of the instance. Integers, picoseconds."""

    fixed_ps: int
    """Per step."""
    sequence_ps: int
    """Per running sequence of the die."""
    kv_ps: int
    """Per KV token that the die's sequences hold at the start of the step."""
    tokens_per_step_num: int
    tokens_per_step_den: int
    """Expected tokens of a sequence per step, as a fraction: 17/10 with MTP."""

    def die_step_ps(self, running: int, kv_tokens: int) -> int:
        """Picoseconds that a die needs for one step of `running` sequences with `kv_tokens` between them."""
        return self.fixed_ps + self.sequence_ps * running + self.kv_ps * kv_tokens


def attention_pairs(cached_tokens: int, chunk_tokens: int) -> int:
    """(Query, key) pairs of a chunk that follows `cached_tokens` tokens of its own context; causal mask."""
    return cached_tokens * chunk_tokens + chunk_tokens * (chunk_tokens + 1) // 2


def prefill_cost(num_npus: int, expert_balance: ExpertBalance = "default") -> PrefillCost:
    """The cost of a prefill instance of `num_npus` packages; fitted on 16 (EP32), scaled by peak elsewhere.

    The busiest rank sets the pace of the routed experts: with `default` balance their work counts `EXPERT_IMBALANCE`
    times. The MTP module and exchange between ranks are inside `LINEAR_EFFICIENCY`. The published row that 50 % reuse
    gains 1.42 is matched at default balance.
    """
    if expert_balance not in ("default", "perfect"):
        raise ValueError(f"expert balance {expert_balance!r} is neither 'default' nor 'perfect'")
    shape, die = DEEPSEEK_R1, ASCEND_910C.die
    weights_bytes = weights_bytes_per_die(Role.PREFILL, num_npus)
    num_dies = num_npus * ASCEND_910C.num_dies.count
    imbalance = EXPERT_IMBALANCE.value if expert_balance == "default" else 1.0
    paced_flops = shape.linear_flops_per_token + (imbalance - 1.0) * shape.routed_flops_per_token
    pair_flops = shape.layers * shape.prefill_attention_flops_per_pair
    return PrefillCost(
        fixed_s=weights_bytes / (die.hbm_bytes_per_s.value * MEMORY_EFFICIENCY.value) + PREFILL_LAUNCH_S.value,
        token_s=paced_flops / (num_dies * ASCEND_910C.die_flops(Precision.INT8) * LINEAR_EFFICIENCY.value),
        pair_s=pair_flops / (num_dies * ASCEND_910C.die_flops(Precision.BF16) * ATTENTION_EFFICIENCY.value),
        cached_token_s=CACHED_TOKEN_DIE_S.value / num_dies,
    )


def decode_cost(mtp: bool = True) -> DecodeCost:
    """The cost of a die in the published decode instance: 160 packages, DP320 and EP320.

    With MTP a request has two token rows in each step; both attend over its KV, and both pass the experts. Without it
    there is one row and one token. `fixed_ps` is the same in both, although it contains the MTP module when there is
    one. Against the published layer times (one of 61 equal parts of a step, 48 requests per die, 4,096 KV tokens): with
    MTP 1,377 us for 1,260 (+9.3 %; 7.1 ms of the step lie outside the layers), without it 852 us for 874 (-2.5 %). The
    two streams inside a layer are not modelled.
    """
    shape = DEEPSEEK_R1
    rows = 1 + shape.mtp_layers if mtp else 1
    attention_flops_per_s = (
        ASCEND_910C.die_flops(Precision.BF16) * ATTENTION_EFFICIENCY.value * ATTENTION_CORE_SHARE.value
    )
    kv_flops = rows * shape.layers * shape.decode_attention_flops_per_kv_token
    return DecodeCost(
        fixed_ps=round(DECODE_FIXED_S.value * 1e12),
        sequence_ps=round(rows * DECODE_ROW_S.value * 1e12),
        kv_ps=round(kv_flops / attention_flops_per_s * 1e12),
        tokens_per_step_num=round((1.0 + MTP_ACCEPTANCE.value) * 10) if mtp else 1,
        tokens_per_step_den=10 if mtp else 1,
    )
