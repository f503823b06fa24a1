"""Thirty-five networks of MONAI, two- and three-dimensional, with a few channels each."""

from __future__ import annotations

from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!monai", "einops", "numpy")


def r(*shape: int) -> torch.Tensor:
    return torch.rand(shape)


def cases() -> Cases:
    import monai.networks.nets as n

    def case(name: str, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return lambda: Case(getattr(n, name)(**config), args, kwargs)

    two, three = (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2},
        {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    )
    levels = {"channels": (4, 8), "strides": (2,)}
    yield "UNet 2d", case("UNet", {**two, **levels, "num_res_units": 2}, r(1, 1, 16, 16))
    yield "UNet 3d", case("UNet", {**three, **levels, "act": "prelu"}, r(1, 1, 8, 8, 8))
    yield "BasicUNet", case("BasicUNet", {**two, "features": (4, 4, 8, 8, 16, 4)}, r(1, 1, 32, 32))
    yield "BasicUNetPlusPlus", case("BasicUNetPlusPlus", {**two, "features": (4, 4, 8, 8, 16, 4)}, r(1, 1, 32, 32))
    yield "AttentionUnet", case("AttentionUnet", {**two, **levels}, r(1, 1, 16, 16))
    yield (
        "DynUNet",
        case(
            "DynUNet",
            {
                **two,
                "kernel_size": [3, 3, 3],
                "strides": [1, 2, 2],
                "upsample_kernel_size": [2, 2],
                "filters": [4, 8, 8],
                "deep_supervision": True,
                "deep_supr_num": 1,
                "res_block": True,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "SegResNet",
        case("SegResNet", {**two, "init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)}, r(1, 1, 16, 16)),
    )
    yield (
        "SegResNetVAE",
        case(
            "SegResNetVAE",
            {
                "input_image_size": (16, 16),
                "spatial_dims": 2,
                "init_filters": 8,
                "in_channels": 1,
                "out_channels": 2,
                "blocks_down": (1, 1),
                "blocks_up": (1,),
                "vae_nz": 4,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "SegResNetDS",
        case("SegResNetDS", {**two, "init_filters": 8, "blocks_down": (1, 1), "dsdepth": 2}, r(1, 1, 16, 16)),
    )
    yield "VNet", case("VNet", three, r(1, 1, 16, 16, 16))
    yield (
        "HighResNet",
        case(
            "HighResNet",
            {
                **two,
                "layer_params": (
                    {"name": "conv_0", "n_features": 4, "kernel_size": 3},
                    {"name": "res_1", "n_features": 4, "kernels": (3, 3), "repeat": 1},
                    {"name": "conv_1", "n_features": 8, "kernel_size": 1},
                    {"name": "conv_2", "kernel_size": 1},
                ),
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "AHNet",
        case(
            "AHNet", {"layers": (1, 1, 1, 1), "spatial_dims": 2, "in_channels": 1, "out_channels": 2}, r(1, 1, 128, 128)
        ),
    )
    yield "RegUNet", case("RegUNet", {**two, "num_channel_initial": 4, "depth": 2}, r(1, 1, 16, 16))
    yield (
        "GlobalNet",
        case(
            "GlobalNet",
            {"image_size": [16, 16], "spatial_dims": 2, "in_channels": 1, "num_channel_initial": 4, "depth": 2},
            r(1, 1, 16, 16),
        ),
    )
    yield "LocalNet", case("LocalNet", {**two, "num_channel_initial": 4, "extract_levels": (0, 1)}, r(1, 1, 16, 16))
    yield (
        "VoxelMorphUNet",
        case(
            "VoxelMorphUNet",
            {
                "spatial_dims": 2,
                "in_channels": 2,
                "unet_out_channels": 4,
                "channels": (4, 4, 4, 4, 4, 4),
                "final_conv_channels": (4,),
            },
            r(1, 2, 16, 16),
        ),
    )
    yield (
        "UNETR",
        case(
            "UNETR",
            {**two, "img_size": (32, 32), "feature_size": 4, "hidden_size": 16, "mlp_dim": 16, "num_heads": 4},
            r(1, 1, 32, 32),
        ),
    )
    yield (
        "SwinUNETR",
        case(
            "SwinUNETR", {**two, "feature_size": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}, r(1, 1, 64, 64)
        ),
    )
    yield (
        "SwinUNETR v2 checkpointed",
        case(
            "SwinUNETR",
            {
                **two,
                "feature_size": 12,
                "depths": (2, 1, 1, 1),
                "num_heads": (1, 2, 2, 2),
                "use_v2": True,
                "use_checkpoint": True,
            },
            r(1, 1, 64, 64),
        ),
    )
    yield (
        "ViT",
        case(
            "ViT",
            {
                "in_channels": 1,
                "img_size": (16, 16),
                "patch_size": (8, 8),
                "hidden_size": 16,
                "mlp_dim": 16,
                "num_layers": 2,
                "num_heads": 4,
                "spatial_dims": 2,
                "classification": True,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "ViTAutoEnc",
        case(
            "ViTAutoEnc",
            {
                "in_channels": 1,
                "img_size": (16, 16),
                "patch_size": (4, 4),
                "hidden_size": 16,
                "mlp_dim": 16,
                "num_layers": 2,
                "num_heads": 4,
                "spatial_dims": 2,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "MaskedAutoEncoderViT",
        case(
            "MaskedAutoEncoderViT",
            {
                "in_channels": 1,
                "img_size": (16, 16),
                "patch_size": (4, 4),
                "hidden_size": 16,
                "mlp_dim": 16,
                "num_layers": 1,
                "num_heads": 4,
                "spatial_dims": 2,
                "decoder_hidden_size": 16,
                "decoder_mlp_dim": 16,
                "decoder_num_layers": 1,
                "decoder_num_heads": 4,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "MILModel att_trans",
        case(
            "MILModel",
            {"num_classes": 2, "mil_mode": "att_trans", "pretrained": False, "trans_blocks": 1},
            r(1, 2, 3, 32, 32),
        ),
    )
    yield (
        "DenseNet121 small",
        case("DenseNet", {**two, "init_features": 4, "growth_rate": 4, "block_config": (2, 2)}, r(1, 1, 32, 32)),
    )
    yield (
        "ResNet 3d",
        case(
            "ResNet",
            {
                "block": "basic",
                "layers": [1, 1, 1, 1],
                "block_inplanes": [4, 4, 8, 8],
                "spatial_dims": 3,
                "n_input_channels": 1,
            },
            r(1, 1, 16, 16, 16),
        ),
    )
    yield (
        "SENet",
        case(
            "SEResNet50",
            {"spatial_dims": 2, "in_channels": 1, "layers": (1, 1, 1, 1), "num_classes": 2},
            r(1, 1, 32, 32),
        ),
    )
    yield (
        "EfficientNetBN",
        case(
            "EfficientNetBN", {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 1}, r(1, 1, 32, 32)
        ),
    )
    yield (
        "FlexibleUNet",
        case(
            "FlexibleUNet",
            {
                "in_channels": 1,
                "out_channels": 2,
                "backbone": "efficientnet-b0",
                "spatial_dims": 2,
                "decoder_channels": (16, 8, 8, 4, 4),
            },
            r(1, 1, 64, 64),
        ),
    )
    yield "AutoEncoder", case("AutoEncoder", {**two, "channels": (4, 8), "strides": (2, 2)}, r(1, 1, 16, 16))
    yield (
        "VarAutoEncoder",
        case(
            "VarAutoEncoder",
            {
                "spatial_dims": 2,
                "in_shape": (1, 16, 16),
                "out_channels": 1,
                "latent_size": 4,
                "channels": (4, 8),
                "strides": (2, 2),
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "Generator",
        case(
            "Generator", {"latent_shape": 4, "start_shape": (8, 4, 4), "channels": (8, 4), "strides": (2, 2)}, r(1, 4)
        ),
    )
    yield (
        "Discriminator",
        case("Discriminator", {"in_shape": (1, 16, 16), "channels": (4, 8), "strides": (2, 2)}, r(1, 1, 16, 16)),
    )
    yield "Critic", case("Critic", {"in_shape": (1, 16, 16), "channels": (4, 8), "strides": (2, 2)}, r(1, 1, 16, 16))
    yield (
        "Regressor",
        case(
            "Regressor",
            {"in_shape": (1, 16, 16), "out_shape": (2,), "channels": (4, 8), "strides": (2, 2)},
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "FullyConnectedNet",
        case("FullyConnectedNet", {"in_channels": 8, "out_channels": 2, "hidden_channels": (8, 8)}, r(2, 8)),
    )
    yield (
        "VarFullyConnectedNet",
        case(
            "VarFullyConnectedNet",
            {"in_channels": 8, "out_channels": 2, "latent_size": 4, "encode_channels": (8,), "decode_channels": (8,)},
            r(2, 8),
        ),
    )
    yield "Quicknat", case("Quicknat", {"num_classes": 2, "num_channels": 1, "num_filters": 4}, r(1, 1, 32, 32))
    yield (
        "DiffusionModelUNet",
        case(
            "DiffusionModelUNet",
            {
                **two,
                "num_res_blocks": 1,
                "channels": (8, 8),
                "attention_levels": (False, True),
                "norm_num_groups": 4,
                "num_head_channels": 4,
                "with_conditioning": True,
                "cross_attention_dim": 4,
            },
            r(1, 1, 16, 16),
            torch.tensor([3]),
            r(1, 2, 4),
        ),
    )
    yield (
        "AutoencoderKL",
        case(
            "AutoencoderKL",
            {
                "spatial_dims": 2,
                "in_channels": 1,
                "out_channels": 1,
                "num_res_blocks": (1, 1),
                "channels": (8, 8),
                "attention_levels": (False, True),
                "latent_channels": 4,
                "norm_num_groups": 4,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "VQVAE",
        case(
            "VQVAE",
            {
                "spatial_dims": 2,
                "in_channels": 1,
                "out_channels": 1,
                "channels": (8, 8),
                "num_res_channels": (8, 8),
                "num_res_layers": 1,
                "downsample_parameters": ((2, 4, 1, 1), (2, 4, 1, 1)),
                "upsample_parameters": ((2, 4, 1, 1, 0), (2, 4, 1, 1, 0)),
                "num_embeddings": 8,
                "embedding_dim": 4,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "ControlNet",
        case(
            "ControlNet",
            {
                "spatial_dims": 2,
                "in_channels": 1,
                "num_res_blocks": 1,
                "channels": (8, 8),
                "attention_levels": (False, True),
                "norm_num_groups": 4,
                "num_head_channels": 4,
                "conditioning_embedding_num_channels": (8,),
                "conditioning_embedding_in_channels": 1,
            },
            r(1, 1, 16, 16),
            torch.tensor([3]),
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "PatchDiscriminator",
        case(
            "PatchDiscriminator",
            {"spatial_dims": 2, "channels": 4, "in_channels": 1, "num_layers_d": 2},
            r(1, 1, 32, 32),
        ),
    )
    yield (
        "DecoderOnlyTransformer",
        case(
            "DecoderOnlyTransformer",
            {"num_tokens": 10, "max_seq_len": 16, "attn_layers_dim": 8, "attn_layers_depth": 1, "attn_layers_heads": 2},
            torch.randint(10, (1, 8)),
        ),
    )
    yield (
        "MedNeXt",
        case(
            "MedNeXt",
            {
                "spatial_dims": 2,
                "init_filters": 4,
                "in_channels": 1,
                "out_channels": 2,
                "blocks_down": (1, 1),
                "blocks_bottleneck": 1,
                "blocks_up": (1, 1),
                "encoder_expansion_ratio": 2,
                "decoder_expansion_ratio": 2,
                "deep_supervision": True,
            },
            r(1, 1, 16, 16),
        ),
    )
    yield (
        "SPADENet",
        case(
            "SPADENet",
            {
                "spatial_dims": 2,
                "in_channels": 1,
                "out_channels": 1,
                "label_nc": 2,
                "input_shape": [16, 16],
                "channels": [8, 8],
                "z_dim": 4,
                "is_vae": True,
            },
            r(1, 2, 16, 16),
            r(1, 1, 16, 16),
        ),
    )
