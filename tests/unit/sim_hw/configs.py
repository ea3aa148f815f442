"""Configurations of the supported families, as published."""

from __future__ import annotations

from typing import Any

DEEPSEEK_V3_JSON: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "tie_word_embeddings": False,
    "v_head_dim": 128,
    "vocab_size": 129280,
}

QWEN3_MOE_JSON: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "moe_intermediate_size": 1536,
    "num_attention_heads": 64,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 151936,
}

LLAMA_JSON: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "max_position_embeddings": 131072,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}

MINDFORMERS_DEEPSEEK: dict[str, Any] = {
    "seed": 0,
    "model": {
        "model_config": {
            "type": "DeepseekV3Config",
            "batch_size": 1,
            "seq_length": 4096,
            "hidden_size": 7168,
            "num_layers": 61,
            "num_heads": 128,
            "max_position_embeddings": 163840,
            "intermediate_size": 18432,
            "kv_lora_rank": 512,
            "n_kv_heads": 128,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "qk_nope_head_dim": 128,
            "vocab_size": 129280,
            "mtp_depth": 1,
        },
        "arch": {"type": "DeepseekV3ForCausalLM"},
    },
    "moe_config": {
        "expert_num": 256,
        "num_experts_chosen": 8,
        "shared_expert_num": 1,
        "first_k_dense_replace": 3,
        "moe_intermediate_size": 2048,
    },
}

MINDFORMERS_LLAMA: dict[str, Any] = {
    "model": {
        "model_config": {
            "type": "LlamaConfig",
            "seq_length": 131072,
            "hidden_size": 8192,
            "num_layers": 80,
            "num_heads": 64,
            "n_kv_heads": 8,
            "intermediate_size": 28672,
            "vocab_size": 128256,
        }
    }
}
