"""Models of many architectures, read by shape: the sizes that their makers publish, to within what is not counted."""

from __future__ import annotations

from typing import Any

import pytest

from sim_hw.errors import DescriptionError
from sim_hw.models.architectures import ARCHITECTURES, BY_NAME
from sim_hw.models.attention import GroupedQueryAttention, LatentAttention
from sim_hw.models.huggingface import NESTED, model_from_huggingface
from tests.unit.sim_hw.configs import DEEPSEEK_V3_JSON, LLAMA_JSON, QWEN3_MOE_JSON


def config(
    architecture: str | None, layers: int, hidden: int, heads: str, ffn: int, vocabulary: int, **more: Any
) -> dict[str, Any]:
    """The fields that all have; `heads` is query heads / KV heads, these last perhaps left out."""
    query_heads, _, kv_heads = heads.partition("/")
    sizes: dict[str, Any] = {
        "architectures": architecture and [architecture],
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": int(query_heads),
        "intermediate_size": ffn,
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768,
    }
    return {**sizes, **({"num_key_value_heads": int(kv_heads)} if kv_heads else {}), **more}


def llama4(**more: Any) -> dict[str, Any]:
    """As published: the text model in a section of its own, among other senses."""
    text = config(None, 48, 5120, "40/8", 8192, 202048, model_type="llama4_text", intermediate_size_mlp=16384, **more)
    whole = {"architectures": ["Llama4ForConditionalGeneration"], "vision_config": {"hidden_size": 1408}}
    return {**whole, "text_config": text}


LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}

QWEN2_7B = config("Qwen2ForCausalLM", 28, 3584, "28/4", 18944, 152064)
QWEN2_57B = config("Qwen2MoeForCausalLM", 28, 3584, "28/4", 18944, 151936, num_experts=64, num_experts_per_tok=8) | {
    "moe_intermediate_size": 2560,
    "shared_expert_intermediate_size": 20480,
    "decoder_sparse_step": 1,
}
GLM_45_AIR = config("Glm4MoeForCausalLM", 46, 4096, "96/8", 10944, 151552, head_dim=128, n_routed_experts=128) | {
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 1408,
    "num_nextn_predict_layers": 1,
}
CHATGLM3_6B = {
    "architectures": ["ChatGLMModel"],
    "num_layers": 28,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "kv_channels": 128,
    "ffn_hidden_size": 13696,
    "padded_vocab_size": 65024,
    "seq_length": 8192,
}
DEEPSEEK_V2_LITE = config("DeepseekV2ForCausalLM", 27, 2048, "16/16", 10944, 102400, **LATENT, q_lora_rank=None) | {
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "n_shared_experts": 2,
    "moe_intermediate_size": 1408,
    "first_k_dense_replace": 1,
}
KIMI_K2 = DEEPSEEK_V3_JSON | {
    "model_type": "kimi_k2",
    "n_routed_experts": 384,
    "num_attention_heads": 64,
    "first_k_dense_replace": 1,
    "vocab_size": 163840,
    "num_nextn_predict_layers": 0,
}
GEMMA3_4B = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
}
GPT_OSS_120B = config(
    "GptOssForCausalLM", 36, 2880, "64/8", 2880, 201088, head_dim=64, num_local_experts=128, experts_per_token=4
)
MIXTRAL = config("MixtralForCausalLM", 32, 4096, "32/8", 14336, 32000, num_local_experts=8, num_experts_per_tok=2)
OLMOE = config("OlmoeForCausalLM", 16, 2048, "16/16", 1024, 50304, num_experts=64, num_experts_per_tok=8)
SCOUT = llama4(num_local_experts=16, interleave_moe_layer_step=1, attention_chunk_size=8192)
MAVERICK = llama4(num_local_experts=128, interleave_moe_layer_step=2)

PUBLISHED: dict[str, tuple[dict[str, Any], float, float]] = {
    # Billions of parameters, in all and active: a tied embedding counts once, and an active head always.
    "qwen2-7b": (QWEN2_7B, 7.61, 7.07),
    "qwen2.5-0.5b": (config("Qwen2ForCausalLM", 24, 896, "14/2", 4864, 151936, tie_word_embeddings=True), 0.494, 0.494),
    "qwen2-57b-a14b": (QWEN2_57B, 57.4, 13.7),
    "qwen3-8b": (config("Qwen3ForCausalLM", 36, 4096, "32/8", 12288, 151936), 8.19, 7.57),
    "qwen3-0.6b": (config("Qwen3ForCausalLM", 28, 1024, "16/8", 3072, 151936, tie_word_embeddings=True), 0.596, 0.596),
    "mistral-7b": (config("MistralForCausalLM", 32, 4096, "32", 14336, 32000), 7.24, 7.11),
    "mistral-nemo": (config("MistralForCausalLM", 40, 5120, "32/8", 14336, 131072, head_dim=128), 12.25, 11.58),
    "mixtral-8x7b": (MIXTRAL, 46.7, 12.75),
    "llama-4-scout": (SCOUT, 107.8, 16.1),
    "llama-4-maverick": (MAVERICK, 400.7, 16.1),
    "glm-4.5-air": (GLM_45_AIR, 106.9, 12.8),
    "glm-4-9b": (config("GlmForCausalLM", 40, 4096, "32/2", 13696, 151552), 9.4, 8.78),
    "chatglm3-6b": (CHATGLM3_6B, 6.24, 5.98),
    "deepseek-v2-lite": (DEEPSEEK_V2_LITE, 15.7, 2.45),
    "kimi-k2": (KIMI_K2, 1026.0, 31.7),
    "phi-3-mini": (config("Phi3ForCausalLM", 32, 3072, "32/32", 8192, 32064), 3.82, 3.72),
    "gemma-7b": (config("GemmaForCausalLM", 28, 3072, "16/16", 24576, 256000), 8.54, 8.54),
    "gemma-3-4b": (GEMMA3_4B, 3.88, 3.88),
    "olmoe-7b": (OLMOE, 6.92, 1.18),
    "internlm2-7b": (config("InternLM2ForCausalLM", 32, 4096, "32/8", 14336, 92544), 7.74, 7.36),
    "gpt-oss-120b": (GPT_OSS_120B, 116.8, 5.1),
    "internvl": ({"architectures": ["InternVLChatModel"], "llm_config": QWEN2_7B}, 7.61, 7.07),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_its_published_size(name: str) -> None:
    fields, total, active = PUBLISHED[name]
    shape = model_from_huggingface(fields, name)
    assert shape.total_parameters == pytest.approx(total * 1e9, rel=0.01)
    assert shape.active_parameters == pytest.approx(active * 1e9, rel=0.03)


def test_the_shapes_of_kinds_are_read() -> None:
    lite = model_from_huggingface(DEEPSEEK_V2_LITE, "lite")
    assert isinstance(lite.attention, LatentAttention)
    assert (lite.attention.q_rank, lite.dense_layers, lite.moe_layers) == (None, 1, 26)
    maverick = model_from_huggingface(MAVERICK, "maverick")
    assert maverick.attention == GroupedQueryAttention(heads=40, kv_heads=8, head_dim=128)
    assert (maverick.dense_layers, maverick.dense_intermediate, maverick.moe_layers) == (24, 16384, 24)
    assert maverick.experts is not None
    assert (maverick.experts.shared, maverick.experts.intermediate) == (1, 8192)
    mixtral = model_from_huggingface(MIXTRAL, "mixtral")
    assert (mixtral.dense_layers, mixtral.dense_intermediate, mixtral.mtp_layers) == (0, 0, 0)
    assert model_from_huggingface(GLM_45_AIR, "glm").mtp_layers == 1


def test_small_models_have_the_sizes_of_their_fields() -> None:
    small: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 4}
    small |= {"num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 32000}
    small |= {"max_position_embeddings": 32768}
    attention = 2 * 1024 * 1024 + 2 * 1024 * 256
    dense = model_from_huggingface({"architectures": ["Qwen2ForCausalLM"], **small}, "dense")
    assert dense.total_parameters == 4 * (attention + 3 * 1024 * 2816) + 2 * 32000 * 1024
    experts = {"architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 2}
    shape = model_from_huggingface({**experts, **small}, "experts")
    assert shape.total_parameters == 4 * (attention + 8 * 3 * 1024 * 2816 + 8 * 1024) + 2 * 32000 * 1024
    assert (shape.experts_per_token, shape.notes) == (2, ())


def test_a_window_is_said_to_be_left_out_where_it_is_used() -> None:
    def notes(architecture: str = "MistralForCausalLM", **change: Any) -> tuple[str, ...]:
        return model_from_huggingface({**LLAMA_JSON, "architectures": [architecture], **change}, "any").notes

    (note,) = notes(sliding_window=4096)
    assert note.startswith("sliding_window of 4,096 tokens is not modelled")
    assert notes(sliding_window=None) == notes(sliding_window=131072) == ()
    assert notes("Qwen2ForCausalLM", sliding_window=4096, use_sliding_window=False) == ()
    assert "attention_chunk_size" in notes("LlamaForCausalLM", attention_chunk_size=8192)[0]


def test_an_unknown_architecture_is_read_by_shape_and_said_to_be() -> None:
    unknown = {**QWEN3_MOE_JSON, "architectures": ["NewMoeForCausalLM"], "hidden_act": "silu", "rope_theta": 1e6}
    shape, same = model_from_huggingface(unknown, "any"), model_from_huggingface(QWEN3_MOE_JSON, "any")
    assert (shape.experts, shape.attention, shape.layers) == (same.experts, same.attention, same.layers)
    assert shape.notes == ("NewMoeForCausalLM is not known by name: read by the shape that its fields describe",)
    renamed = {**DEEPSEEK_V3_JSON, "architectures": ["NewForCausalLM"], "model_type": "new"}
    assert isinstance(model_from_huggingface(renamed, "any").attention, LatentAttention)
    untold = {key: value for key, value in unknown.items() if key != "tie_word_embeddings"}
    assert model_from_huggingface(untold, "any").notes[0].endswith("its output head taken for one of its own")


def test_fields_that_nobody_understands_are_named() -> None:
    strange: dict[str, Any] = {"hash_layers": 3, "ngram_tables": [1], "off": False, "none": None, "nothing": 0}
    (note,) = model_from_huggingface({**LLAMA_JSON, **strange}, "any").notes
    assert note == "2 fields are not understood and left out: hash_layers, ngram_tables"
    unknown: dict[str, Any] = {**LLAMA_JSON, "architectures": ["NewForCausalLM"]}
    with pytest.raises(
        DescriptionError, match=r"^hash_layers is not understood, and NewForCausalLM is no arch.*2 such"
    ):
        model_from_huggingface({**unknown, **strange}, "any")
    with pytest.raises(DescriptionError, match=r"^hidden_act is 'gelu': perhaps feed-forward parts without a gate"):
        model_from_huggingface({**unknown, "hidden_act": "gelu"}, "any")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear attention"),
        ({"linear_num_key_heads": 16}, "linear attention"),
        ({"architectures": ["Qwen3NextForCausalLM"]}, "linear attention"),
        ({"attn_type_list": [0, 0, 1]}, "linear attention"),
        ({"index_topk": 2048}, "sparse attention"),
        ({"architectures": ["DeepseekV32ForCausalLM"]}, "sparse attention"),
        ({"mamba_d_state": 128}, "state-space layers"),
        ({"layer_types": ["mamba"]}, "state-space layers"),
        ({"architectures": ["JambaForCausalLM"]}, "state-space layers"),
        ({"is_encoder_decoder": True}, "an encoder and a decoder"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "an encoder and a decoder"),
        ({"add_cross_attention": True}, "cross-attention"),
        ({"cross_attention_layers": [3, 8]}, "cross-attention"),
        ({"block_configs": [{}]}, "layers of different shapes"),
        ({"architectures": ["GPTNeoXForCausalLM"]}, "without a gate"),
    ],
)
@pytest.mark.parametrize("place", [None, *NESTED])
def test_what_is_truly_different_is_refused_with_its_word(change: dict[str, Any], word: str, place: str | None) -> None:
    fields = {**LLAMA_JSON, **change}
    with pytest.raises(DescriptionError) as caught:
        model_from_huggingface(fields if place is None else {"model_type": "sees", place: fields}, "different")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_architecture_refuses_what_it_cannot_have() -> None:
    with pytest.raises(DescriptionError, match=r"^num_local_experts is 8, but LlamaForCausalLM has .* dense layers"):
        model_from_huggingface({**LLAMA_JSON, "num_local_experts": 8}, "any")
    with pytest.raises(DescriptionError, match=r"^kv_lora_rank is 512, but Qwen3MoeForCausalLM has grouped-query"):
        model_from_huggingface({**QWEN3_MOE_JSON, "kv_lora_rank": 512}, "any")


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.name)
def test_no_two_rows_share_a_name_and_none_forbids_what_it_needs(row: Any) -> None:
    assert BY_NAME[row.name] is row
    assert row.experts not in row.must_not_meet or row.feed_forward == "dense layers"


def test_one_shared_expert_may_be_as_large_as_several() -> None:
    experts = model_from_huggingface(QWEN2_57B, "any").experts
    assert experts is not None
    assert experts.shared == 8
    with pytest.raises(DescriptionError, match="no multiple of the 2560 of a routed expert"):
        model_from_huggingface({**QWEN2_57B, "shared_expert_intermediate_size": 20481}, "any")


HARMLESS: dict[str, Any] = {
    "_name_or_path": "x",
    "attention_bias": True,
    "attention_dropout": 0.1,
    "auto_map": {"AutoConfig": "x"},
    "aux_loss_alpha": 0.001,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "ep_size": 2,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_window_layers": 28,
    "n_group": 8,
    "norm_topk_prob": True,
    "output_router_logits": True,
    "pretraining_tp": 1,
    "quantization_config": {"quant_method": "fp8"},
    "rms_norm_eps": 1e-6,
    "rope_scaling": {"type": "yarn", "factor": 40},
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "router_aux_loss_coef": 0.001,
    "scoring_func": "sigmoid",
    "seq_aux": True,
    "topk_group": 4,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1",
    "use_cache": True,
}


@pytest.mark.parametrize("fields", [DEEPSEEK_V3_JSON, QWEN3_MOE_JSON, LLAMA_JSON, MIXTRAL, QWEN2_57B, GLM_45_AIR])
def test_fields_that_change_no_size_pass_without_a_word(fields: dict[str, Any]) -> None:
    plain, whole = (model_from_huggingface(one, "any") for one in (fields, {**fields, **HARMLESS}))
    assert whole == plain
    assert whole.notes == ()
