"""What an architecture says that its configurations leave out: a row for each that is known by name.

A model is read by shape, whatever it is called (`shape_reading`). A row adds what no field tells: the kind of attention
and of feed-forward part, so that a field of another kind is a contradiction; and what a field that is left out means,
which the class that reads it in Hugging Face's transformers fixes (src/transformers/models/*/configuration_*.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from sim_hw.models.config_values import Aliases


class AttentionKind(StrEnum):
    """What a layer attends with."""

    GROUPED = "grouped-query attention"
    LATENT = "latent attention"


class FeedForward(StrEnum):
    """What the feed-forward parts of the layers are."""

    DENSE = "dense layers"
    EXPERTS = "experts"


EXPERT_COUNTS: Final = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "expert_num")
"""Names under which configurations count the routed experts of a layer."""

LATENT_RANKS: Final = ("kv_lora_rank",)


class Architecture(Struct, frozen=True, kw_only=True):
    """One row. `attention` or `feed_forward` of None: the fields tell which.

    `defaults`: what a field that is left out is; `tied`: the same for `tie_word_embeddings`. `aliases`: other names of
    fields, beside Hugging Face's usual ones.
    """

    name: str
    """As `architectures` has it."""
    model_types: tuple[str, ...] = ()
    """As `model_type` has it, of this model or of the language model inside one that sees or hears."""
    attention: AttentionKind | None = AttentionKind.GROUPED
    feed_forward: FeedForward | None = FeedForward.DENSE
    experts: str = EXPERT_COUNTS[0]
    """The field that counts routed experts."""
    shared_experts: int = 0
    """Of each expert layer, where no field says it."""
    tied: bool = False
    defaults: Mapping[str, int] = field(default_factory=dict[str, int])
    aliases: Aliases = field(default_factory=dict[str, tuple[str, ...]])
    is_known: bool = True

    @property
    def must_not_meet(self) -> tuple[str, ...]:
        """Fields that contradict the row where they count more than one."""
        return (EXPERT_COUNTS if self.feed_forward is FeedForward.DENSE else ()) + (
            LATENT_RANKS if self.attention is AttentionKind.GROUPED else ()
        )


def unknown_architecture(name: str) -> Architecture:
    """Nothing is presumed: the fields tell everything."""
    return Architecture(name=name, attention=None, feed_forward=None, is_known=False)


def _dense(name: str, *model_types: str, tied: bool = False, **defaults: int) -> Architecture:
    return Architecture(name=name, model_types=model_types, tied=tied, defaults=defaults)


def _experts(
    name: str, model_types: tuple[str, ...], experts: str, *, tied: bool = False, **defaults: int
) -> Architecture:
    return Architecture(
        name=name,
        model_types=model_types,
        feed_forward=FeedForward.EXPERTS,
        experts=experts,
        tied=tied,
        defaults=defaults,
    )


def _latent(name: str, *model_types: str, **defaults: int) -> Architecture:
    return Architecture(
        name=name,
        model_types=model_types,
        attention=AttentionKind.LATENT,
        feed_forward=FeedForward.EXPERTS,
        experts="n_routed_experts",
        defaults=defaults,
    )


_CHATGLM: Final = {
    "num_hidden_layers": ("num_layers",),
    "num_key_value_heads": ("multi_query_group_num",),
    "head_dim": ("kv_channels",),
    "intermediate_size": ("ffn_hidden_size",),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": ("seq_length",),
}

ARCHITECTURES: Final = (
    _latent("DeepseekV3ForCausalLM", "deepseek_v3", "kimi_k2", first_k_dense_replace=3),
    _experts("Qwen3MoeForCausalLM", ("qwen3_moe", "qwen3_vl_moe_text"), "num_experts"),
    _dense("LlamaForCausalLM", "llama"),
    _latent("DeepseekV2ForCausalLM", "deepseek_v2"),
    _experts("DeepseekForCausalLM", ("deepseek",), "n_routed_experts"),
    _dense("Qwen2ForCausalLM", "qwen2", "qwen2_vl", "qwen2_5_vl", "qwen2_vl_text", "qwen2_5_vl_text"),
    _experts("Qwen2MoeForCausalLM", ("qwen2_moe",), "num_experts", shared_expert_intermediate_size=5632),
    _dense("Qwen3ForCausalLM", "qwen3", "qwen3_vl_text", head_dim=128),
    _dense("MistralForCausalLM", "mistral", "ministral3", num_key_value_heads=8),
    _experts("MixtralForCausalLM", ("mixtral",), "num_local_experts", num_key_value_heads=8),
    Architecture(
        name="Llama4ForCausalLM",
        model_types=("llama4_text", "llama4"),
        feed_forward=FeedForward.EXPERTS,
        experts="num_local_experts",
        shared_experts=1,
        defaults={"num_key_value_heads": 8, "head_dim": 128, "num_experts_per_tok": 1},
    ),
    _dense("GlmForCausalLM", "glm", head_dim=128, num_key_value_heads=2),
    _dense("Glm4ForCausalLM", "glm4", head_dim=128, num_key_value_heads=2),
    _experts(
        "Glm4MoeForCausalLM",
        ("glm4_moe", "glm4v_moe_text"),
        "n_routed_experts",
        num_key_value_heads=8,
        first_k_dense_replace=1,
    ),
    Architecture(name="ChatGLMModel", model_types=("chatglm",), aliases=_CHATGLM),
    Architecture(name="ChatGLMForConditionalGeneration", aliases=_CHATGLM),
    _dense("Phi3ForCausalLM", "phi3"),
    _experts("PhiMoEForCausalLM", ("phimoe",), "num_local_experts", num_key_value_heads=8),
    _dense("GemmaForCausalLM", "gemma", tied=True, head_dim=256),
    _dense("Gemma2ForCausalLM", "gemma2", tied=True, head_dim=256, num_key_value_heads=4),
    _dense(
        "Gemma3ForCausalLM",
        "gemma3_text",
        "gemma3",
        tied=True,
        head_dim=256,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=262_208,
        max_position_embeddings=131_072,
    ),
    _dense("OlmoForCausalLM", "olmo"),
    _dense("Olmo2ForCausalLM", "olmo2"),
    _experts("OlmoeForCausalLM", ("olmoe",), "num_experts"),
    _dense("InternLMForCausalLM", "internlm"),
    _dense("InternLM2ForCausalLM", "internlm2"),
    _dense("InternLM3ForCausalLM", "internlm3"),
    _dense("BaichuanForCausalLM", "baichuan"),
    _dense("GraniteForCausalLM", "granite"),
    _experts("GraniteMoeForCausalLM", ("granitemoe",), "num_local_experts"),
    _dense("CohereForCausalLM", "cohere", tied=True),
    _dense("SmolLM3ForCausalLM", "smollm3", tied=True),
    _dense("SeedOssForCausalLM", "seed_oss", head_dim=128),
    _dense("MiMoForCausalLM", "mimo"),
    _dense("Ernie4_5ForCausalLM", "ernie4_5", tied=True),
    _experts("Ernie4_5_MoeForCausalLM", ("ernie4_5_moe",), "moe_num_experts", tied=True, moe_layer_start_index=1),
    _experts("GptOssForCausalLM", ("gpt_oss",), "num_local_experts", head_dim=64, num_key_value_heads=8),
    _experts("MiniMaxM2ForCausalLM", ("minimax_m2",), "num_local_experts", head_dim=128),
)
"""Those that are known; what a published configuration of theirs means is tested."""

BY_NAME: Final[Mapping[str, Architecture]] = {one.name: one for one in ARCHITECTURES}
BY_MODEL_TYPE: Final[Mapping[str, Architecture]] = {kind: one for one in ARCHITECTURES for kind in one.model_types}
