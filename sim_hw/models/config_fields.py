"""Which fields of a model's configuration may be passed over, which say that the model is of another kind, and which
nobody here understands.

What is passed over changes neither parameters nor work nor KV: tokens of the vocabulary, dropout, positions, training,
numeric formats (weights have the cluster's). Norms and biases are not counted anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from sim_hw.errors import DescriptionError
from sim_hw.models.config_values import ConfigValues, shown

UNDERSTOOD: Final = frozenset(
    {
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_size",
        "intermediate_size",
        "head_dim",
        "vocab_size",
        "max_position_embeddings",
        "tie_word_embeddings",
        "hidden_act",
        "hidden_activation",
        "kv_lora_rank",
        "q_lora_rank",
        "qk_rope_head_dim",
        "qk_nope_head_dim",
        "v_head_dim",
        "qk_head_dim",
        "num_experts",
        "n_routed_experts",
        "num_local_experts",
        "moe_num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "n_shared_experts",
        "shared_expert_intermediate_size",
        "intermediate_size_mlp",
        "first_k_dense_replace",
        "moe_layer_freq",
        "decoder_sparse_step",
        "mlp_only_layers",
        "moe_layers",
        "interleave_moe_layer_step",
        "moe_layer_start_index",
        "moe_layer_end_index",
        "moe_layer_interval",
        "mlp_layer_types",
        "num_nextn_predict_layers",
        "layer_types",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "sliding_window_pattern",
        "attention_chunk_size",
        "attn_type_list",
    }
)
"""Fields that decide the shape, or that `shape_reading` looks at; aliases come on top."""

_HARMLESS: Final = {
    "what it is called": (
        r"architectures|model_type|type|_.*|auto_map|"
        r"transformers_version|(name|model)_or_path|language"
    ),
    "tokens": r".*token_ids?|.*_token_index|.*_token|[bep](os|ad)_.*|tokenizer_.*|id2label|label2id|num_labels",
    "norms and biases": r".*norm.*|.*bias.*|.*_eps|.*epsilon|clip_qkv|.*softcap.*",
    "factors": r".*_scalar|.*_multiplier|.*_scaling|.*_scale|scale_.*|residual_.*|embedding_.*|swiglu_limit",
    "positions": (
        r"rope|rope_.*|.*_rope|.*rope_theta|no_rope_.*|rotary_.*|"
        r"partial_rotary_.*|position_.*|theta|rope_interleave"
    ),
    "lengths": (
        r"original_max_.*|initial_context_.*|pre_seq_len|max_length|min_length|"
        r"model_max_length|max_sequence_length|scaling_factor|is_dynamic"
    ),
    "numbers": r"(torch_)?dtype|.*_dtype|.*_in_fp32|fp32_.*|quant.*|compression_config|fp16|bf16",
    "training": r".*(dropout|pdrop).*|.*init.*|.*_loss.*|gradient_.*|pretraining_tp|ep_size|seq_aux|problem_type",
    "routing": (
        r"topk_method|n_group|topk_group|scor(ing|e)_func|.*rout(er|ing|ed_scaling).*|"
        r".*jitter.*|moe_num_groups|moe_gate.*|moe_use_.*|.*_capacity"
    ),
    "software": (
        r"use_cache.*|cache_impl.*|keys_to_.*|interleaved_qkv|use_parallel_block|unsloth_.*|"
        r"output_.*|return_.*|chunk_size_.*|"
        r"use_flash.*|use_.*kernel.*|attn_impl.*|is_causal"
    ),
    "tasks": r"task_.*|.*finetuning_task|classifier_.*|custom_pipelines|is_decoder|use_bidirectional_attention",
    "other senses": r"vision_.*|audio_.*|image_.*|video_.*|.*projector_.*|mm_.*",
    "said by another field": (
        r"multi_query_attention|use_qk_.*|attn_temperature_tuning|extend_method|use_m(tp|la)|is_moe|mtp_transformer_.*"
    ),
}
"""Patterns of fields that change nothing here, by what they are about."""

_HARMLESS_IN_MINDFORMERS: Final = {
    "lengths": r"batch_size|seq_length|block_size|num_blocks|max_decode_length|max_new_tokens|pre_seq_len|infer_.*",
    "answers": r"top_[kp]|temperature|do_sample|repetition_penalty|generation_.*|sampling_.*",
    "parallel": (
        r".*parallel.*|.*interleave.*|offset|.*_overlap.*|.*recompute.*|swap.*|low_memory.*|stage_num|chunk_prefill"
    ),
    "software": (
        r"use_.*|fused_.*|.*_fusion.*|qkv_concat|checkpoint_.*|"
        r"pretrained_.*|pet_.*|prefix_.*|.*_compute_type|qk_.*_layout"
    ),
    "training": (
        r"moe_config|moe_grouped_gemm|mtp_loss_.*|enable_.*|fp8|monitor.*|max_router_load|return_.*|"
        r"input_sliced_sig|auto_register|is_.*|add_.*|rl_.*"
    ),
    "said by another field": r"multiple_of|ffn_dim_multiplier|runner_config|gated_linear_unit",
}

_LINEAR: Final = "linear attention"
_SPARSE: Final = "sparse attention"
_STATE_SPACE: Final = "state-space layers"
_CROSS: Final = "cross-attention"
_TWO_STACKS: Final = "an encoder and a decoder"
_UNEQUAL: Final = "layers of different shapes"
NO_GATE: Final = "feed-forward parts without a gate"

_DIFFERENT_FIELDS: Final = {
    _LINEAR: r"linear_.*(head|conv|att).*|full_attention_interval|lightning_.*|kda_.*|lin_attn_.*",
    _SPARSE: r"index_(topk|n_heads|head_dim)|.*sparse_att.*|sparse_(config|attn_.*)|nsa_.*|moba_.*",
    _STATE_SPACE: (
        r"(.*_)?mamba_.*|ssm_.*|d_state|state_size|time_step_rank|"
        r"hybrid_override_pattern|attn_layer_(period|offset)"
    ),
    _TWO_STACKS: r"is_encoder_decoder|(num_)?(en|de)coder_layers|encoder_(ffn_dim|attention_heads)",
    _CROSS: r"cross_attention_.*|add_cross_attention",
    _UNEQUAL: r"block_configs|num_kv_shared_layers|attention_k_eq_v|zero_expert_num|kv_sharing_.*",
}
"""Fields that only models of another kind have, by the word for it."""

_DIFFERENT_NAMES: Final = {
    NO_GATE: (
        r"(GPT(?!Oss)|Gpt(?!Oss)|OPT|Bloom|Falcon(?!Mamba|H1)|"
        r"Phi(?=For|Conf)|Starcoder2|Nemotron(?=For|Conf)|Pangu|MPT).*"
    ),
    _STATE_SPACE: r".*(Mamba|Jamba|Bamba|NemotronH|Zamba|FalconH1|MoeHybrid|Plamo2|Lfm2|RecurrentGemma).*",
    _LINEAR: r"(Rwkv|RWKV|RetNet|MiniMaxText01|MiniMax(?=For|Conf)|Qwen3Next|Qwen3_5|KimiLinear).*",
    _SPARSE: r"(DeepseekV32|DeepseekV4|GlmMoeDsa).*",
    _TWO_STACKS: r"(M?T5|UMT5|M?Bart|Whisper|Pegasus|Marian|Blenderbot|NllbMoe|SwitchTransformers).*",
    _CROSS: r"(Mllama|Idefics(?=For)).*",
    _UNEQUAL: r"(DeciLM|Gemma3n|OpenELM|Longcat).*",
    "no decoder": r"(.*Bert|.*BERT|Electra|XLMRoberta|ViT).*",
}
"""Names of architectures that are of another kind, whatever their fields are called."""

_FULL_ATTENTION: Final = {"full_attention", "attention", "global_attention", "sliding_attention", "chunked_attention"}


def different_name(name: str) -> str | None:
    """What sets an architecture of that name apart from those that can be read; None if nothing is known to."""
    return _word(_DIFFERENT_NAMES, name)


def refuse_different(values: Mapping[str, object]) -> None:
    """`DescriptionError` on a field that only a model of a kind which is not modelled has, with the word for it."""
    for name, value in values.items():
        word = _word(_DIFFERENT_FIELDS, name)
        if word and _says_something(value):
            raise _not_modelled(name, f"is {shown(value)}", word)
    kinds = values.get("layer_types")
    for kind in cast(list[object], kinds) if isinstance(kinds, list) else []:
        if kind not in _FULL_ATTENTION:
            raise _not_modelled("layer_types", f"has {shown(kind)}", _layer_kind(str(kind)))
    kinds = values.get("attn_type_list")
    if isinstance(kinds, list) and any(kind != 1 for kind in cast(list[object], kinds)):
        raise _not_modelled("attn_type_list", "has layers of other kinds than 1", _LINEAR)


def not_understood(values: ConfigValues, *, in_mindformers: bool = False) -> list[str]:
    """Names of fields with a value that are neither understood nor known to be harmless, in their order."""
    aliases = {alias for names in values.aliases.values() for alias in names}
    return [
        name
        for name, value in values.values.items()
        if _says_something(value) and name not in aliases and not _is_known(name, in_mindformers)
    ]


def listed(names: Iterable[str], most: int = 6) -> str:
    """Some names and how many more."""
    known = [shown(name).strip("'") for name in names]
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def _is_known(name: str, in_mindformers: bool) -> bool:
    if name in UNDERSTOOD or _word(_HARMLESS, name):
        return True
    return in_mindformers and _word(_HARMLESS_IN_MINDFORMERS, name) is not None


def _word(patterns: Mapping[str, str], name: str) -> str | None:
    return next((word for word, pattern in patterns.items() if re.fullmatch(pattern, name)), None)


def _says_something(value: object) -> bool:
    """Null, no, nothing and zero switch a field off."""
    return value is not None and value is not False and value != 0 and value not in ([], {}, "")


def _layer_kind(kind: str) -> str:
    words = ((_LINEAR, ("linear",)), (_STATE_SPACE, ("mamba", "ssm", "recurrent")), (_SPARSE, ("sparse", "compressed")))
    return next((word for word, parts in words if any(part in kind for part in parts)), "layers of another kind")


def _not_modelled(name: str, problem: str, word: str) -> DescriptionError:
    fix = "give a model whose layers all have grouped-query or latent attention and gated feed-forward parts"
    return DescriptionError(name, f"{problem}: {word}, which is not modelled", fix)
