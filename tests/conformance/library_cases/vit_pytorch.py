"""vit-pytorch: the vision transformers that fit on a page each."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!vit-pytorch", "einops")


def cases() -> Cases:
    image = torch.rand(1, 3, 32, 32)
    base = {"image_size": 32, "patch_size": 8, "num_classes": 4, "dim": 16, "depth": 2, "heads": 2, "mlp_dim": 16}

    def case(place: str, config: dict[str, Any], *args: Any) -> Any:
        module, name = place.split(":")
        return lambda: Case(
            getattr(importlib.import_module(f"vit_pytorch.{module}"), name)(**config), args or (image.clone(),)
        )

    for place in (
        "vit:ViT",
        "simple_vit:SimpleViT",
        "deepvit:DeepViT",
        "vit_for_small_dataset:ViT",
        "parallel_vit:ViT",
        "simple_vit_with_register_tokens:SimpleViT",
        "simple_vit_with_qk_norm:SimpleViT",
        "simple_vit_with_fft:SimpleViT",
        "simple_flash_attn_vit:SimpleViT",
        "rvt:RvT",
        "local_vit:LocalViT",
    ):
        more = {"freq_patch_size": 8} if "fft" in place else {}
        yield place.replace(":", "."), case(place, {**base, **more})
    yield "CaiT", case("cait:CaiT", {**base, "cls_depth": 1, "layer_dropout": 0.0})
    yield (
        "CaiT layer dropout",
        lambda: Case(
            importlib.import_module("vit_pytorch.cait").CaiT(**base, cls_depth=2, layer_dropout=0.5),
            (image.clone(),),
            training=True,
            why="each step draws which layers it drops",
        ),
    )
    yield (
        "T2T",
        case(
            "t2t:T2TViT",
            {
                "image_size": 32,
                "dim": 16,
                "depth": 1,
                "heads": 2,
                "mlp_dim": 16,
                "num_classes": 4,
                "t2t_layers": ((7, 4), (3, 2)),
            },
        ),
    )
    yield (
        "CCT",
        case(
            "cct:CCT",
            {
                "img_size": (32, 32),
                "embedding_dim": 16,
                "n_conv_layers": 1,
                "num_layers": 2,
                "num_heads": 2,
                "mlp_ratio": 2.0,
                "num_classes": 4,
                "positional_embedding": "learnable",
            },
        ),
    )
    yield (
        "CrossViT",
        case(
            "cross_vit:CrossViT",
            {
                "image_size": 32,
                "num_classes": 4,
                "depth": 1,
                "sm_dim": 16,
                "sm_patch_size": 8,
                "sm_enc_depth": 1,
                "sm_enc_heads": 2,
                "sm_enc_mlp_dim": 16,
                "lg_dim": 16,
                "lg_patch_size": 16,
                "lg_enc_depth": 1,
                "lg_enc_heads": 2,
                "lg_enc_mlp_dim": 16,
                "cross_attn_depth": 1,
                "cross_attn_heads": 2,
            },
        ),
    )
    yield (
        "PiT",
        case(
            "pit:PiT",
            {
                "image_size": 32,
                "patch_size": 8,
                "dim": 16,
                "num_classes": 4,
                "depth": (1, 1),
                "heads": 2,
                "mlp_dim": 16,
            },
        ),
    )
    yield (
        "LeViT",
        case(
            "levit:LeViT",
            {
                "image_size": 64,
                "num_classes": 4,
                "stages": 2,
                "dim": (16, 16),
                "depth": 1,
                "heads": (2, 2),
                "mlp_mult": 2,
            },
            torch.rand(1, 3, 64, 64),
        ),
    )
    yield (
        "CvT",
        case(
            "cvt:CvT",
            {
                "num_classes": 4,
                "s1_emb_dim": 8,
                "s2_emb_dim": 8,
                "s3_emb_dim": 8,
                "s1_depth": 1,
                "s2_depth": 1,
                "s3_depth": 1,
                "s2_heads": 1,
                "s3_heads": 1,
            },
        ),
    )
    yield (
        "Twins",
        case(
            "twins_svt:TwinsSVT",
            {
                "num_classes": 4,
                "s1_emb_dim": 8,
                "s1_depth": 1,
                "s1_local_patch_size": 2,
                "s1_global_k": 2,
                "s2_emb_dim": 8,
                "s2_depth": 1,
                "s2_local_patch_size": 2,
                "s2_global_k": 2,
                "s3_emb_dim": 8,
                "s3_depth": 1,
                "s3_local_patch_size": 1,
                "s3_global_k": 1,
                "s4_emb_dim": 8,
                "s4_depth": 1,
                "s4_local_patch_size": 1,
                "s4_global_k": 1,
            },
            torch.rand(1, 3, 64, 64),
        ),
    )
    yield (
        "MobileViT",
        case(
            "mobile_vit:MobileViT",
            {
                "image_size": (64, 64),
                "dims": [8, 8, 8],
                "channels": [8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 16],
                "num_classes": 4,
            },
            torch.rand(1, 3, 64, 64),
        ),
    )
    yield "XCiT", case("xcit:XCiT", {**base, "cls_depth": 1})
    yield (
        "SepViT",
        case(
            "sep_vit:SepViT",
            {"num_classes": 4, "dim": 8, "depth": (1, 1), "heads": (1, 2), "window_size": 4},
            torch.rand(1, 3, 32, 32),
        ),
    )
    yield (
        "MaxViT",
        case(
            "max_vit:MaxViT",
            {"num_classes": 4, "dim_conv_stem": 8, "dim": 8, "dim_head": 4, "depth": (1, 1), "window_size": 4},
            torch.rand(1, 3, 32, 32),
        ),
    )
    yield (
        "NesT",
        case(
            "nest:NesT",
            {
                "image_size": 32,
                "patch_size": 4,
                "dim": 8,
                "heads": 1,
                "num_hierarchies": 2,
                "block_repeats": (1, 1),
                "num_classes": 4,
            },
        ),
    )
    yield (
        "ScalableViT",
        case(
            "scalable_vit:ScalableViT",
            {
                "num_classes": 4,
                "dim": 8,
                "heads": (1, 1),
                "depth": (1, 1),
                "ssa_dim_key": (4, 4),
                "reduction_factor": (2, 1),
                "window_size": (4, 4),
                "dropout": 0.1,
            },
        ),
    )
    yield (
        "CrossFormer",
        case(
            "crossformer:CrossFormer",
            {
                "num_classes": 4,
                "dim": (8, 8, 8, 8),
                "depth": (1, 1, 1, 1),
                "global_window_size": (2, 2, 2, 1),
                "local_window_size": 1,
            },
            torch.rand(1, 3, 32, 32),
        ),
    )
    yield (
        "NaViT",
        lambda: Case(
            importlib.import_module("vit_pytorch.na_vit").NaViT(**{**base, "token_dropout_prob": 0.0}),
            ([[torch.rand(3, 16, 16), torch.rand(3, 8, 16)], [torch.rand(3, 32, 16)]],),
        ),
    )
    yield (
        "ViViT",
        case(
            "vivit:ViT",
            {
                "image_size": 16,
                "frames": 4,
                "image_patch_size": 8,
                "frame_patch_size": 2,
                "num_classes": 4,
                "dim": 16,
                "spatial_depth": 1,
                "temporal_depth": 1,
                "heads": 2,
                "mlp_dim": 16,
            },
            torch.rand(1, 3, 4, 16, 16),
        ),
    )
    yield (
        "SimpleViT1D",
        case(
            "vit_1d:ViT",
            {"seq_len": 32, "patch_size": 8, "num_classes": 4, "dim": 16, "depth": 1, "heads": 2, "mlp_dim": 16},
            torch.rand(1, 3, 32),
        ),
    )
    yield (
        "LookViT",
        case(
            "look_vit:LookViT",
            {"dim": 16, "image_size": 32, "patch_size": 8, "num_classes": 4, "depth": 1, "heads": 2, "dim_head": 8},
        ),
    )
    yield (
        "RegionViT",
        case(
            "regionvit:RegionViT",
            {"dim": (8, 8, 8, 8), "depth": (1, 1, 1, 1), "window_size": 2, "num_classes": 4},
            torch.rand(1, 3, 64, 64),
        ),
    )

    def masked() -> Case:
        from vit_pytorch import ViT
        from vit_pytorch.mae import MAE

        return Case(
            MAE(encoder=ViT(**base), masking_ratio=0.75, decoder_dim=16, decoder_depth=1, decoder_heads=2),
            (image.clone(),),
        )

    def extracted() -> Case:
        from vit_pytorch import ViT
        from vit_pytorch.extractor import Extractor

        return Case(Extractor(ViT(**base)), (image.clone(),))

    def recorded() -> Case:
        from vit_pytorch import ViT
        from vit_pytorch.recorder import Recorder

        return Case(Recorder(ViT(**base)), (image.clone(),))

    def distilled() -> Case:
        from torch import nn
        from vit_pytorch.distill import DistillableViT, DistillWrapper

        teacher = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
        return Case(
            DistillWrapper(student=DistillableViT(**base), teacher=teacher, temperature=3),
            (image.clone(), torch.tensor([1])),
        )

    yield "MAE", masked
    yield "Extractor (hooks)", extracted
    yield "Recorder (hooks)", recorded
    yield "DistillWrapper", distilled
