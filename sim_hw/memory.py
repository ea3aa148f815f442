"""What lies in the HBM of a die, and how many KV tokens still fit: DeepSeek-R1 in INT8 on Ascend 910C.

Layouts of CloudMatrix-Infer (arXiv 2506.12708 v3): prefill in EP32 with staged SP-TP-SP attention, decode in DP320
and EP320.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sim_hw.chips import ASCEND_910C
from sim_hw.figure import Confidence, Figure
from sim_hw.models import DEEPSEEK_R1

_CM = "CloudMatrix paper, arXiv 2506.12708 v2 and v3"

KV_BLOCK_TOKENS = 128
"""Tokens of a KV block; the paper pages its cache in blocks of 128 to 512 tokens."""

MAX_TOKEN_ROWS_PER_DIE = Figure(
    96, "token row", f"{_CM}, size of the dispatch and combine buffers", Confidence.TWO_SOURCES
)

WEIGHT_BYTES_PER_PARAMETER = Figure(
    1, "B", f"{_CM}: 671 GB for 671 B parameters; small BF16 parts are not counted apart", Confidence.TWO_SOURCES
)

EXPERT_BUFFER_BYTES = Figure(
    645 * 2**20,
    "B",
    f"{_CM}: 320 ranks x 96 rows x (7.5 + 14) KiB in decode; assumed in prefill too",
    Confidence.TWO_SOURCES,
)

RESERVE_SHARE = Figure(
    0.10, "1", "activations, graphs, fragmentation; serving engines usually take a share of 0.9", Confidence.ESTIMATE
)

DECODE_EXPERT_SLOTS = Figure(
    320, "expert", f"{_CM}: per layer 256 routed + 32 copies of the shared + 32 redundant", Confidence.TWO_SOURCES
)

PREFILL_EXTRA_EXPERTS = Figure(2, "expert", f"{_CM}: per die 1 shared + 1 redundant", Confidence.TWO_SOURCES)


class Role(StrEnum):
    """What an instance does; decides which weights its dies hold."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class DieMemory:
    """How the HBM of one die is divided. The parts add to its capacity."""

    weights_bytes: float
    buffers_bytes: float
    reserve_bytes: float
    kv_bytes: float


def experts_per_die(role: Role, num_npus: int) -> int:
    """Expert slots of one die in one layer: 10 for a prefill instance of 16 NPUs, 1 for a decode instance of 160."""
    num_dies = _num_dies(num_npus)
    if role is Role.DECODE:
        return -(-DECODE_EXPERT_SLOTS.count // num_dies)
    return -(-DEEPSEEK_R1.routed_experts // num_dies) + PREFILL_EXTRA_EXPERTS.count


def weights_bytes_per_die(role: Role, num_npus: int, mtp: bool = True) -> float:
    """Weights on one die of an instance, bytes.

    Decode holds all but the experts in full (data-parallel attention). Prefill splits the up-projections by head and
    the vocabulary over the ranks; what its sequence-parallel stages use, dense layers among it, is on every rank. The
    MTP module shares embedding and head with the model.
    """
    shape = DEEPSEEK_R1
    ranks = min(_num_dies(num_npus), shape.heads) if role is Role.PREFILL else 1
    attention = shape.attention_shared_parameters + shape.attention_head_parameters / ranks
    moe = experts_per_die(role, num_npus) * shape.expert_parameters + shape.router_parameters
    parameters = (
        shape.layers * attention
        + shape.dense_layers * shape.dense_parameters
        + shape.moe_layers * moe
        + 2 * shape.embedding_parameters / ranks
    )
    if mtp:
        parameters += shape.mtp_layers * (attention + moe + shape.mtp_projection_parameters)
    return parameters * WEIGHT_BYTES_PER_PARAMETER.value


def die_memory(role: Role, num_npus: int, mtp: bool = True, reserve_share: float = RESERVE_SHARE.value) -> DieMemory:
    """The map of one die's HBM. Raises ValueError if the weights leave no room for KV."""
    capacity_bytes = ASCEND_910C.die.hbm_bytes.value
    weights_bytes = weights_bytes_per_die(role, num_npus, mtp)
    reserve_bytes = reserve_share * capacity_bytes
    kv_bytes = capacity_bytes - weights_bytes - reserve_bytes - EXPERT_BUFFER_BYTES.value
    if kv_bytes <= 0:
        raise ValueError(
            f"{role} instance of {num_npus} NPUs: weights of {weights_bytes / 1e9:.1f} GB per die leave no room for KV "
            f"in {capacity_bytes / 1e9:.0f} GB; take more NPUs"
        )
    return DieMemory(weights_bytes, EXPERT_BUFFER_BYTES.value, reserve_bytes, kv_bytes)


def kv_capacity_tokens(role: Role, num_npus: int, mtp: bool = True, reserve_share: float = RESERVE_SHARE.value) -> int:
    """KV tokens that one die holds, in whole blocks; KV is BF16 and includes the MTP layer if `mtp`.

    For decode each die has its own sequences. For prefill this is also the capacity of the whole instance: latent
    attention has one KV head, so every rank of the tensor-parallel group holds a full copy (arXiv 2506.12708 v3).
    """
    kv_bytes = die_memory(role, num_npus, mtp, reserve_share).kv_bytes
    block_bytes = KV_BLOCK_TOKENS * DEEPSEEK_R1.kv_bytes_per_token(mtp)
    return int(kv_bytes // block_bytes) * KV_BLOCK_TOKENS


def max_sequences_per_die(mtp: bool = True) -> int:
    """Decode sequences of one die: 48 with MTP (two token rows each), 96 without, by the size of the buffers."""
    rows = 1 + DEEPSEEK_R1.mtp_layers if mtp else 1
    return MAX_TOKEN_ROWS_PER_DIE.count // rows


def _num_dies(num_npus: int) -> int:
    if num_npus < 1:
        raise ValueError(f"an instance has at least 1 NPU, not {num_npus}")
    return num_npus * ASCEND_910C.num_dies.count
