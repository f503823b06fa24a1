"""Performer: projections drawn at random when built, by a QR of theirs."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!performer-pytorch",
    "einops",
    "!local-attention",
    "!axial-positional-embedding",
    "!hyper-connections",
    "!einx",
    "!torch-einops-utils",
)


def cases() -> Cases:
    from performer_pytorch import FastAttention, Performer, PerformerLM, SelfAttention

    yield "Performer", lambda: Case(Performer(dim=16, depth=1, heads=2, dim_head=8), (torch.rand(1, 12, 16),))
    yield (
        "Performer causal",
        lambda: Case(Performer(dim=16, depth=1, heads=2, dim_head=8, causal=True), (torch.rand(1, 12, 16),)),
    )
    yield (
        "Performer generalized",
        lambda: Case(
            Performer(dim=16, depth=1, heads=2, dim_head=8, generalized_attention=True), (torch.rand(1, 12, 16),)
        ),
    )
    yield (
        "PerformerLM",
        lambda: Case(
            PerformerLM(num_tokens=30, max_seq_len=16, dim=16, depth=2, heads=2, dim_head=8),
            (torch.randint(30, (1, 12)),),
        ),
    )
    yield (
        "PerformerLM reversible",
        lambda: Case(
            PerformerLM(num_tokens=30, max_seq_len=16, dim=16, depth=2, heads=2, dim_head=8, reversible=True),
            (torch.randint(30, (1, 12)),),
        ),
    )
    yield (
        "PerformerLM train",
        lambda: Case(
            PerformerLM(num_tokens=30, max_seq_len=16, dim=16, depth=1, heads=2, dim_head=8, feature_redraw_interval=1),
            (torch.randint(30, (1, 12)),),
            training=True,
        ),
    )
    yield (
        "FastAttention",
        lambda: Case(FastAttention(dim_heads=8, nb_features=12), tuple(torch.rand(1, 2, 10, 8) for _ in range(3))),
    )
    yield "SelfAttention", lambda: Case(SelfAttention(dim=16, heads=2, dim_head=8), (torch.rand(1, 12, 16),))
