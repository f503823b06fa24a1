"""Configurations of Transformers' architectures that generate, small, each with a cache of a kind of its own."""

from __future__ import annotations

PLAIN = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
GROUPED = {**PLAIN, "num_key_value_heads": 2}
MAMBA = {"vocab_size": 61, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
MAMBA2 = {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 4}

ARCHITECTURES = {
    "llama": GROUPED,
    "gpt2": {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": PLAIN,
    "falcon": {k: v for k, v in PLAIN.items() if k != "intermediate_size"},
    "qwen3": {**GROUPED, "head_dim": 16},
    "phi3": {**GROUPED, "pad_token_id": 0},
    "mistral": {**GROUPED, "sliding_window": 8},
    "gemma2": {**GROUPED, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "mixtral": {**GROUPED, "num_local_experts": 4},
    "deepseek_v3": {
        **PLAIN, "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4, "n_group": 2,
        "topk_group": 1, "num_experts_per_tok": 2, "kv_lora_rank": 12, "q_lora_rank": 16, "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 8, "v_head_dim": 8, "head_dim": 4, "first_k_dense_replace": 1,
    },
    "mamba": MAMBA,
    "mamba2": MAMBA2,
    "falcon_mamba": MAMBA,
    "jamba": {
        **GROUPED, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
        "num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False,
    },
    "bamba": {
        **GROUPED, "attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1,
        "mamba_d_state": 4, "mamba_chunk_size": 4,
    },
    "t5": {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    "bart": {
        "vocab_size": 61, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    },
    "whisper": {
        "vocab_size": 61, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": 50,
        "num_mel_bins": 8, "max_target_positions": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 1,
    },
}  # fmt: skip

EXPERTS = {"mixtral": 2 * 2 * 3 * 32 * 48, "deepseek_v3": 2 * 3 * 32 * 16, "jamba": 2 * 3 * 32 * 48}
"""Multiply-accumulates of the experts that a token takes, in all layers."""
