"""x-transformers in some of its many variants."""

from __future__ import annotations

from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!x-transformers", "einops", "!einx", "loguru", "!torch-einops-utils", "packaging")


def cases() -> Cases:
    import x_transformers as x

    tokens = torch.randint(30, (1, 8))
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "rotary": {"rotary_pos_emb": True},
        "alibi": {"alibi_pos_bias": True},
        "t5 bias": {"rel_pos_bias": True},
        "swiglu rmsnorm": {"ff_glu": True, "ff_swish": True, "use_rmsnorm": True},
        "multi-query": {"attn_one_kv_head": True},
        "grouped": {"attn_kv_heads": 1},
        "memory": {"attn_num_mem_kv": 2},
        "flash": {"attn_flash": True},
        "qk norm": {"attn_qk_norm": True},
        "talking heads": {"attn_talking_heads": True},
        "topk": {"attn_sparse_topk": 2},
        "macaron": {"macaron": True},
        "sandwich": {"sandwich_norm": True},
        "dynamic bias": {"dynamic_pos_bias": True, "dynamic_pos_bias_log_distance": False},
        "value residual": {"attn_add_value_residual": True},
        "shift tokens": {"shift_tokens": 1},
    }
    for name, more in variants.items():
        yield (
            f"decoder, {name}",
            lambda more=more: Case(
                x.TransformerWrapper(
                    num_tokens=30,
                    max_seq_len=16,
                    attn_layers=x.Decoder(dim=16, depth=2, heads=2, attn_dim_head=8, **more),
                ),
                (tokens.clone(),),
            ),
        )
    yield (
        "autoregressive loss",
        lambda: Case(
            x.AutoregressiveWrapper(
                x.TransformerWrapper(
                    num_tokens=30, max_seq_len=16, attn_layers=x.Decoder(dim=16, depth=1, heads=2, attn_dim_head=8)
                )
            ),
            (tokens.clone(),),
        ),
    )
    yield (
        "encoder with mask",
        lambda: Case(
            x.TransformerWrapper(
                num_tokens=30, max_seq_len=16, attn_layers=x.Encoder(dim=16, depth=1, heads=2, attn_dim_head=8)
            ),
            (tokens.clone(),),
            {"mask": torch.ones(1, 8, dtype=torch.bool)},
        ),
    )
    yield (
        "XTransformer",
        lambda: Case(
            x.XTransformer(
                dim=16,
                enc_num_tokens=30,
                enc_depth=1,
                enc_heads=2,
                enc_max_seq_len=16,
                dec_num_tokens=30,
                dec_depth=1,
                dec_heads=2,
                dec_max_seq_len=16,
            ),
            (tokens.clone(), tokens.clone()),
        ),
    )
    yield (
        "ViTransformerWrapper",
        lambda: Case(
            x.ViTransformerWrapper(
                image_size=16,
                patch_size=8,
                num_classes=4,
                attn_layers=x.Encoder(dim=16, depth=1, heads=2, attn_dim_head=8),
            ),
            (torch.rand(1, 3, 16, 16),),
        ),
    )
    yield (
        "ContinuousTransformerWrapper",
        lambda: Case(
            x.ContinuousTransformerWrapper(
                dim_in=8, dim_out=4, max_seq_len=16, attn_layers=x.Encoder(dim=16, depth=1, heads=2, attn_dim_head=8)
            ),
            (torch.rand(1, 8, 8),),
        ),
    )
