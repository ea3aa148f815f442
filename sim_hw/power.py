"""Watts of an NPU and joules of an instance: `P = min(0.985 TDP, F + (TDP - F) (a u_flop + b u_hbm))`.

The form was fitted on BF16 matrix products of H200 (ai-dynamo/aiconfigurator tables; mean error 8.3 % of TDP). Nobody
has published the 910C under load, so its coefficients are those of H200. u is the achieved share of the package's peak;
INT8 work counts against the INT8 peak, attention against the BF16 peak.

The form is linear in work, so an engine need only count its work in integers and ask for joules once.

At the published operating points, as a share of the TDP of 700 W, beside what whole GPU services were seen to draw:

    prefill, saturated, default balance   0.66   0.88-1.0    misses by 0.22: only 28 % of the INT8 peak is achieved
    prefill, saturated, perfect balance   0.72   0.88-1.0    misses by 0.16
    decode, batch 96 per NPU              0.76   0.6-0.9
    decode, batch 8 per NPU               0.64   0.48-0.61   misses by 0.03: weights alone take 43 % of the HBM rate

So prefill joules are a lower estimate. Nothing was tuned to hide that: there is no 910C measurement to tune on. An idle
NPU is taken at 168 W; with a model resident, readings of 200 to 233 W exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.chip import Precision
from sim_hw.chip_power import CAP_SHARE, H200_FIT
from sim_hw.chips import ASCEND_910C
from sim_hw.figure import Confidence, Figure
from sim_hw.memory import Role, weights_bytes_per_die
from sim_hw.models import DEEPSEEK_R1
from sim_hw.serving_cost import ExpertBalance, decode_cost, prefill_cost

FLOOR_W = Figure(217, "W", "0.31 x TDP as for H200; npu-smi shows 200-233 W with a model resident", Confidence.ESTIMATE)

CAP_W = CAP_SHARE.value * ASCEND_910C.tdp_w.value
"""The most that one NPU draws, W."""


@dataclass(frozen=True, slots=True)
class PrefillPower:
    """Joules of one prefill instance, all its NPUs together."""

    idle_w: float
    floor_w: float
    """While a pass runs, whatever it does."""
    fixed_w: float
    """Above the floor, in the time that neither tokens nor pairs explain: weights are read."""
    cap_w: float
    token_j: float
    """Above the floor, per computed token."""
    pair_j: float
    """Above the floor, per (query, key) pair."""
    token_s: float
    pair_s: float

    def joules(self, busy_ns: int, computed_tokens: int, attention_pairs: int, idle_ns: int) -> float:
        """Joules of a span from its totals.

        Additive over spans as long as the cap does not bind (it never does here). Handling of cached tokens is
        charged as fixed time.
        """
        busy_s = busy_ns * 1e-9
        fixed_s = max(0.0, busy_s - self.token_s * computed_tokens - self.pair_s * attention_pairs)
        active_j = (
            self.floor_w * busy_s
            + self.fixed_w * fixed_s
            + self.token_j * computed_tokens
            + self.pair_j * attention_pairs
        )
        return self.idle_w * idle_ns * 1e-9 + min(active_j, self.cap_w * busy_s)


@dataclass(frozen=True, slots=True)
class DecodePower:
    """Joules of one decode instance, all its NPUs together."""

    idle_w: float
    floor_w: float
    """While steps run, whatever they do."""
    fixed_w: float
    """Above the floor, in the time that neither sequences nor KV explain: weights are read."""
    cap_w: float
    sequence_j: float
    """Above the floor, per sequence and step: its token rows through all weights."""
    kv_token_j: float
    """Above the floor, per KV token and step: read once, attended by each row."""
    sequence_s: float
    """Seconds of the instance, its dies being equally loaded; what imbalance adds is charged as fixed time."""
    kv_token_s: float

    def joules(self, busy_ns: int, sequence_steps: int, kv_token_steps: int, idle_ns: int) -> float:
        """Joules of a span from its totals over all dies: sequences and KV tokens, each summed over the steps.

        Additive over spans as long as the cap does not bind (it never does here).
        """
        busy_s = busy_ns * 1e-9
        fixed_s = max(0.0, busy_s - self.sequence_s * sequence_steps - self.kv_token_s * kv_token_steps)
        active_j = (
            self.floor_w * busy_s
            + self.fixed_w * fixed_s
            + self.sequence_j * sequence_steps
            + self.kv_token_j * kv_token_steps
        )
        return self.idle_w * idle_ns * 1e-9 + min(active_j, self.cap_w * busy_s)


def npu_watts(flop_share: float, hbm_share: float) -> float:
    """Watts of one busy NPU that achieves these shares of its peak FLOP/s and HBM bandwidth."""
    return min(CAP_W, FLOOR_W.value + _watts_above_floor(flop_share, hbm_share))


def prefill_power(num_npus: int, expert_balance: ExpertBalance = "default") -> PrefillPower:
    """For an instance whose passes last as `prefill_cost` says. HBM traffic of activations is left out."""
    npu, shape = ASCEND_910C, DEEPSEEK_R1
    cost = prefill_cost(num_npus, expert_balance)
    weights_bytes = npu.num_dies.value * weights_bytes_per_die(Role.PREFILL, num_npus)
    pair_flops = shape.layers * shape.prefill_attention_flops_per_pair
    return PrefillPower(
        idle_w=num_npus * npu.idle_w.value,
        floor_w=num_npus * FLOOR_W.value,
        fixed_w=num_npus * _watts_above_floor(0.0, weights_bytes / cost.fixed_s / npu.hbm_bytes_per_s),
        cap_w=num_npus * CAP_W,
        token_j=_watts_above_floor(shape.linear_flops_per_token / npu.flops(Precision.INT8), 0.0),
        pair_j=_watts_above_floor(pair_flops / npu.flops(Precision.BF16), 0.0),
        token_s=cost.token_s,
        pair_s=cost.pair_s,
    )


def decode_power(num_npus: int, mtp: bool = True) -> DecodePower:
    """For an instance whose steps last as `decode_cost` says."""
    npu, shape = ASCEND_910C, DEEPSEEK_R1
    cost = decode_cost(mtp)
    num_dies = num_npus * npu.num_dies.value
    rows = 1 + shape.mtp_layers if mtp else 1
    weights_bytes = npu.num_dies.value * weights_bytes_per_die(Role.DECODE, num_npus, mtp)
    # `decode_cost` is fitted on one expert per die: where a small instance holds more, HBM cannot be more than full.
    weights_hbm_share = min(1.0, weights_bytes / (cost.fixed_ps * 1e-12) / npu.hbm_bytes_per_s)
    kv_flops = rows * shape.layers * shape.decode_attention_flops_per_kv_token
    return DecodePower(
        idle_w=num_npus * npu.idle_w.value,
        floor_w=num_npus * FLOOR_W.value,
        fixed_w=num_npus * _watts_above_floor(0.0, weights_hbm_share),
        cap_w=num_npus * CAP_W,
        sequence_j=_watts_above_floor(rows * shape.linear_flops_per_token / npu.flops(Precision.INT8), 0.0),
        kv_token_j=_watts_above_floor(
            kv_flops / npu.flops(Precision.BF16), shape.kv_bytes_per_token(mtp) / npu.hbm_bytes_per_s
        ),
        sequence_s=cost.sequence_ps * 1e-12 / num_dies,
        kv_token_s=cost.kv_ps * 1e-12 / num_dies,
    )


def _watts_above_floor(flop_share: float, hbm_share: float) -> float:
    """Linear, so that shares times seconds give joules: seconds at peak in, joules of one NPU out."""
    span_w = ASCEND_910C.tdp_w.value - FLOOR_W.value
    return span_w * (H200_FIT.flop_coefficient.value * flop_share + H200_FIT.hbm_coefficient.value * hbm_share)
