"""The models that are built in, as data: the figures of their published configurations."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sim_hw.catalog import Catalog
from sim_hw.figure import Confidence
from sim_hw.models.attention import GroupedQueryAttention, LatentAttention
from sim_hw.models.shape import Experts, ModelShape

DEEPSEEK_R1 = ModelShape(
    name="deepseek-r1",
    source="published deepseek_v3 configuration (DeepSeek-V3 and R1 share it)",
    confidence=Confidence.MODEL_CARD,
    hidden=7168,
    layers=61,
    dense_layers=3,
    dense_intermediate=18432,
    attention=LatentAttention(heads=128, q_rank=1536, kv_rank=512, rope_dim=64, nope_dim=128, value_dim=128),
    experts=Experts(routed=256, routed_per_token=8, shared=1, intermediate=2048),
    vocabulary=129280,
    max_positions=163840,
    tied_embedding=False,
    mtp_layers=1,
)
"""671 B parameters, 37 B of them active per token."""

DEEPSEEK_V3 = replace(DEEPSEEK_R1, name="deepseek-v3")

QWEN3_235B_A22B = ModelShape(
    name="qwen3-235b-a22b",
    source="published qwen3_moe configuration of Qwen3-235B-A22B",
    confidence=Confidence.MODEL_CARD,
    hidden=4096,
    layers=94,
    dense_layers=0,
    dense_intermediate=0,
    attention=GroupedQueryAttention(heads=64, kv_heads=4, head_dim=128),
    experts=Experts(routed=128, routed_per_token=8, shared=0, intermediate=1536),
    vocabulary=151936,
    max_positions=40960,
    tied_embedding=False,
)
"""235 B parameters, 22 B of them active per token."""

LLAMA_3_1_70B = ModelShape(
    name="llama-3.1-70b",
    source="published llama configuration of Llama-3.1-70B",
    confidence=Confidence.MODEL_CARD,
    hidden=8192,
    layers=80,
    dense_layers=80,
    dense_intermediate=28672,
    attention=GroupedQueryAttention(heads=64, kv_heads=8, head_dim=128),
    experts=None,
    vocabulary=128256,
    max_positions=131072,
    tied_embedding=False,
)
"""70.6 B parameters, dense."""

KIMI_K2 = ModelShape(
    name="kimi-k2",
    source="published kimi_k2 configuration of Kimi-K2-Instruct",
    confidence=Confidence.MODEL_CARD,
    hidden=7168,
    layers=61,
    dense_layers=1,
    dense_intermediate=18432,
    attention=LatentAttention(heads=64, q_rank=1536, kv_rank=512, rope_dim=64, nope_dim=128, value_dim=128),
    experts=Experts(routed=384, routed_per_token=8, shared=1, intermediate=2048),
    vocabulary=163840,
    max_positions=131072,
    tied_embedding=False,
)
"""1,026 B parameters, 32 B of them active per token."""

GLM_4_5 = ModelShape(
    name="glm-4.5",
    source="published glm4_moe configuration of GLM-4.5",
    confidence=Confidence.MODEL_CARD,
    hidden=5120,
    layers=92,
    dense_layers=3,
    dense_intermediate=12288,
    attention=GroupedQueryAttention(heads=96, kv_heads=8, head_dim=128),
    experts=Experts(routed=160, routed_per_token=8, shared=1, intermediate=1536),
    vocabulary=151552,
    max_positions=131072,
    tied_embedding=False,
    mtp_layers=1,
)
"""353 B parameters, 32 B of them active per token."""

QWEN3_32B = ModelShape(
    name="qwen3-32b",
    source="published qwen3 configuration of Qwen3-32B",
    confidence=Confidence.MODEL_CARD,
    hidden=5120,
    layers=64,
    dense_layers=64,
    dense_intermediate=25600,
    attention=GroupedQueryAttention(heads=64, kv_heads=8, head_dim=128),
    experts=None,
    vocabulary=151936,
    max_positions=40960,
    tied_embedding=False,
)
"""32.8 B parameters, dense."""

LLAMA_3_1_405B = ModelShape(
    name="llama-3.1-405b",
    source="published llama configuration of Llama-3.1-405B",
    confidence=Confidence.MODEL_CARD,
    hidden=16384,
    layers=126,
    dense_layers=126,
    dense_intermediate=53248,
    attention=GroupedQueryAttention(heads=128, kv_heads=8, head_dim=128),
    experts=None,
    vocabulary=128256,
    max_positions=131072,
    tied_embedding=False,
)
"""405.8 B parameters, dense."""

MIXTRAL_8X7B = ModelShape(
    name="mixtral-8x7b",
    source="published mixtral configuration of Mixtral-8x7B",
    confidence=Confidence.MODEL_CARD,
    hidden=4096,
    layers=32,
    dense_layers=0,
    dense_intermediate=0,
    attention=GroupedQueryAttention(heads=32, kv_heads=8, head_dim=128),
    experts=Experts(routed=8, routed_per_token=2, shared=0, intermediate=14336),
    vocabulary=32000,
    max_positions=32768,
    tied_embedding=False,
)
"""46.7 B parameters, 12.7 B of them active per token, embedding not counted."""

MODELS: tuple[ModelShape, ...] = (
    DEEPSEEK_R1,
    DEEPSEEK_V3,
    KIMI_K2,
    GLM_4_5,
    QWEN3_235B_A22B,
    QWEN3_32B,
    LLAMA_3_1_70B,
    LLAMA_3_1_405B,
    MIXTRAL_8X7B,
)
"""Everything that `--model` knows by name."""

find_model: Final = Catalog("model", lambda: MODELS).find
