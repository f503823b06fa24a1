"""Twenty-five denoisers and autoencoders of diffusers, with a few channels each."""

from __future__ import annotations

from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!diffusers",
    "huggingface-hub",
    "safetensors",
    "regex",
    "pillow",
    "requests",
    "importlib-metadata",
    "transformers",
    "accelerate",
)


def r(*shape: int) -> torch.Tensor:
    return torch.rand(shape)


T = torch.tensor([3])


def cases() -> Cases:
    import diffusers as d

    def case(name: str, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return lambda: Case(getattr(d, name)(**config), args, kwargs)

    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    cross = {
        **blocks,
        "sample_size": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 8,
        "attention_head_dim": 4,
    }
    yield (
        "UNet2DModel",
        case(
            "UNet2DModel",
            {
                **blocks,
                "sample_size": 8,
                "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
                "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
                "attention_head_dim": 4,
            },
            r(1, 3, 8, 8),
            3,
        ),
    )
    yield (
        "UNet2DModel class",
        case(
            "UNet2DModel",
            {
                **blocks,
                "sample_size": 8,
                "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
                "num_class_embeds": 4,
                "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
                "attention_head_dim": 4,
            },
            r(1, 3, 8, 8),
            T.clone(),
            torch.tensor([1]),
        ),
    )
    yield "UNet2DConditionModel", case("UNet2DConditionModel", cross, r(1, 4, 8, 8), 3, r(1, 5, 8))
    yield (
        "UNet2DConditionModel by name",
        case("UNet2DConditionModel", cross, sample=r(1, 4, 8, 8), timestep=T.clone(), encoder_hidden_states=r(1, 5, 8)),
    )
    yield (
        "UNet1DModel",
        case(
            "UNet1DModel",
            {
                "block_out_channels": (8, 8, 16),
                "sample_size": 32,
                "in_channels": 2,
                "out_channels": 2,
                "extra_in_channels": 16,
                "norm_num_groups": 4,
            },
            r(1, 2, 32),
            3,
        ),
    )
    yield (
        "UNet3DConditionModel",
        case(
            "UNet3DConditionModel",
            {
                **blocks,
                "sample_size": 8,
                "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
                "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
                "cross_attention_dim": 8,
                "attention_head_dim": 4,
            },
            r(1, 4, 2, 8, 8),
            3,
            r(1, 5, 8),
        ),
    )
    yield (
        "UNetMotionModel",
        case(
            "UNetMotionModel",
            {
                **blocks,
                "sample_size": 8,
                "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
                "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
                "cross_attention_dim": 8,
                "num_attention_heads": 2,
                "motion_num_attention_heads": 2,
                "motion_max_seq_length": 4,
            },
            r(1, 4, 2, 8, 8),
            3,
            r(1, 5, 8),
        ),
    )
    yield (
        "UNetSpatioTemporalConditionModel",
        case(
            "UNetSpatioTemporalConditionModel",
            {
                "sample_size": 8,
                "block_out_channels": (32, 64),
                "layers_per_block": 1,
                "in_channels": 4,
                "out_channels": 4,
                "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
                "num_frames": 2,
                "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
                "cross_attention_dim": 8,
                "num_attention_heads": 2,
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 24,
            },
            r(1, 2, 4, 8, 8),
            3,
            r(1, 1, 8),
            r(1, 3),
        ),
    )
    yield (
        "ControlNetModel",
        case(
            "ControlNetModel",
            {
                **blocks,
                "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
                "cross_attention_dim": 8,
                "attention_head_dim": 4,
                "conditioning_embedding_out_channels": (8, 8),
            },
            r(1, 4, 8, 8),
            3,
            r(1, 5, 8),
            r(1, 3, 16, 16),
        ),
    )
    yield (
        "T2IAdapter",
        case(
            "T2IAdapter",
            {"in_channels": 3, "channels": [8, 8], "num_res_blocks": 1, "downscale_factor": 8},
            r(1, 3, 32, 32),
        ),
    )
    vae = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    two = {**vae, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    yield "AutoencoderKL", case("AutoencoderKL", {**two, "latent_channels": 4}, r(1, 3, 16, 16))
    yield (
        "AutoencoderTiny",
        case(
            "AutoencoderTiny",
            {
                "encoder_block_out_channels": (8, 8),
                "decoder_block_out_channels": (8, 8),
                "num_encoder_blocks": (1, 1),
                "num_decoder_blocks": (1, 1),
            },
            r(1, 3, 16, 16),
        ),
    )
    yield "VQModel", case("VQModel", {**two, "num_vq_embeddings": 16}, r(1, 3, 16, 16))
    yield (
        "AutoencoderKLTemporalDecoder",
        case(
            "AutoencoderKLTemporalDecoder",
            {
                "block_out_channels": (32, 32),
                "layers_per_block": 1,
                "down_block_types": ("DownEncoderBlock2D",) * 2,
            },
            r(2, 3, 16, 16),
            num_frames=2,
        ),
    )
    yield (
        "AsymmetricAutoencoderKL",
        case(
            "AsymmetricAutoencoderKL",
            {
                "down_block_out_channels": (8, 8),
                "up_block_out_channels": (8, 8),
                "norm_num_groups": 4,
                "down_block_types": ("DownEncoderBlock2D",) * 2,
                "up_block_types": ("UpDecoderBlock2D",) * 2,
            },
            r(1, 3, 16, 16),
        ),
    )
    yield (
        "AutoencoderDC",
        case(
            "AutoencoderDC",
            {
                "in_channels": 3,
                "latent_channels": 4,
                "attention_head_dim": 4,
                "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
                "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
                "encoder_block_out_channels": (8, 8),
                "decoder_block_out_channels": (8, 8),
                "encoder_layers_per_block": (1, 1),
                "decoder_layers_per_block": (1, 1),
                "encoder_qkv_multiscales": ((), (5,)),
                "decoder_qkv_multiscales": ((), (5,)),
                "downsample_block_type": "Conv",
            },
            r(1, 3, 16, 16),
        ),
    )
    yield (
        "AutoencoderOobleck",
        case(
            "AutoencoderOobleck",
            {
                "encoder_hidden_size": 8,
                "downsampling_ratios": [2, 4],
                "decoder_channels": 8,
                "decoder_input_channels": 4,
                "channel_multiples": [1, 2],
            },
            r(1, 2, 32),
        ),
    )
    yield (
        "AutoencoderKLWan",
        case(
            "AutoencoderKLWan",
            {
                "base_dim": 4,
                "z_dim": 4,
                "dim_mult": [1, 1, 1, 1],
                "num_res_blocks": 1,
                "temperal_downsample": [False, True, True],
            },
            r(1, 3, 5, 16, 16),
        ),
    )
    yield (
        "AutoencoderKLCogVideoX",
        case(
            "AutoencoderKLCogVideoX",
            {
                "block_out_channels": (8,) * 4,
                "norm_num_groups": 2,
                "latent_channels": 4,
                "layers_per_block": 1,
            },
            r(1, 3, 5, 16, 16),
        ),
    )
    yield (
        "AutoencoderKLMochi",
        case(
            "AutoencoderKLMochi",
            {
                "latent_channels": 4,
                "encoder_block_out_channels": (32,) * 4,
                "decoder_block_out_channels": (32,) * 4,
                "layers_per_block": (1, 1, 1, 1, 1),
            },
            r(1, 3, 7, 16, 16),
        ),
    )
    yield (
        "DiTTransformer2DModel",
        case(
            "DiTTransformer2DModel",
            {
                "num_attention_heads": 2,
                "attention_head_dim": 4,
                "in_channels": 4,
                "out_channels": 8,
                "num_layers": 1,
                "sample_size": 8,
                "num_embeds_ada_norm": 8,
            },
            r(1, 4, 8, 8),
            T.clone(),
            torch.tensor([1]),
        ),
    )
    yield (
        "PixArtTransformer2DModel",
        case(
            "PixArtTransformer2DModel",
            {
                "num_attention_heads": 2,
                "attention_head_dim": 4,
                "in_channels": 4,
                "out_channels": 8,
                "num_layers": 1,
                "cross_attention_dim": 8,
                "caption_channels": 8,
                "sample_size": 8,
            },
            r(1, 4, 8, 8),
            r(1, 3, 8),
            T.clone(),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ),
    )
    yield (
        "SD3Transformer2DModel",
        case(
            "SD3Transformer2DModel",
            {
                "sample_size": 8,
                "patch_size": 1,
                "in_channels": 4,
                "num_layers": 2,
                "attention_head_dim": 8,
                "num_attention_heads": 2,
                "joint_attention_dim": 8,
                "caption_projection_dim": 16,
                "pooled_projection_dim": 16,
                "out_channels": 4,
                "pos_embed_max_size": 16,
            },
            r(1, 4, 8, 8),
            r(1, 5, 8),
            r(1, 16),
            T.clone(),
        ),
    )
    yield (
        "FluxTransformer2DModel",
        case(
            "FluxTransformer2DModel",
            {
                "in_channels": 4,
                "num_layers": 1,
                "num_single_layers": 1,
                "attention_head_dim": 16,
                "num_attention_heads": 2,
                "joint_attention_dim": 32,
                "pooled_projection_dim": 32,
                "axes_dims_rope": [4, 4, 8],
            },
            r(1, 16, 4),
            r(1, 6, 32),
            r(1, 32),
            torch.tensor([1.0]),
            torch.zeros(16, 3),
            torch.zeros(6, 3),
        ),
    )
    yield (
        "CogVideoXTransformer3DModel",
        case(
            "CogVideoXTransformer3DModel",
            {
                "num_attention_heads": 2,
                "attention_head_dim": 8,
                "in_channels": 4,
                "out_channels": 4,
                "time_embed_dim": 2,
                "text_embed_dim": 8,
                "num_layers": 1,
                "sample_width": 8,
                "sample_height": 8,
                "sample_frames": 8,
                "patch_size": 2,
                "temporal_compression_ratio": 4,
                "max_text_seq_length": 8,
            },
            r(1, 2, 4, 8, 8),
            r(1, 8, 8),
            T.clone(),
        ),
    )
    yield (
        "WanTransformer3DModel",
        case(
            "WanTransformer3DModel",
            {
                "patch_size": (1, 2, 2),
                "num_attention_heads": 2,
                "attention_head_dim": 12,
                "in_channels": 4,
                "out_channels": 4,
                "text_dim": 16,
                "freq_dim": 64,
                "ffn_dim": 16,
                "num_layers": 1,
                "cross_attn_norm": True,
                "qk_norm": "rms_norm_across_heads",
                "rope_max_seq_len": 32,
            },
            r(1, 4, 2, 8, 8),
            T.clone(),
            r(1, 6, 16),
        ),
    )
    yield (
        "LTXVideoTransformer3DModel",
        case(
            "LTXVideoTransformer3DModel",
            {
                "in_channels": 8,
                "out_channels": 8,
                "num_attention_heads": 2,
                "attention_head_dim": 8,
                "cross_attention_dim": 16,
                "num_layers": 1,
                "caption_channels": 16,
            },
            r(1, 32, 8),
            r(1, 6, 16),
            T.clone(),
            torch.ones(1, 6, dtype=torch.bool),
            2,
            4,
            4,
        ),
    )
    yield (
        "HunyuanVideoTransformer3DModel",
        case(
            "HunyuanVideoTransformer3DModel",
            {
                "in_channels": 4,
                "out_channels": 4,
                "num_attention_heads": 2,
                "attention_head_dim": 10,
                "num_layers": 1,
                "num_single_layers": 1,
                "num_refiner_layers": 1,
                "patch_size": 1,
                "patch_size_t": 1,
                "guidance_embeds": True,
                "text_embed_dim": 16,
                "pooled_projection_dim": 8,
                "rope_axes_dim": (2, 4, 4),
            },
            r(1, 4, 1, 4, 4),
            T.clone(),
            r(1, 6, 16),
            torch.ones(1, 6),
            r(1, 8),
            torch.tensor([6.0]),
        ),
    )
    yield (
        "SanaTransformer2DModel",
        case(
            "SanaTransformer2DModel",
            {
                "patch_size": 1,
                "in_channels": 4,
                "out_channels": 4,
                "num_layers": 1,
                "attention_head_dim": 4,
                "num_attention_heads": 2,
                "num_cross_attention_heads": 2,
                "cross_attention_head_dim": 4,
                "cross_attention_dim": 8,
                "caption_channels": 8,
                "sample_size": 8,
            },
            r(1, 4, 8, 8),
            r(1, 5, 8),
            T.clone(),
        ),
    )
    yield (
        "AuraFlowTransformer2DModel",
        case(
            "AuraFlowTransformer2DModel",
            {
                "sample_size": 8,
                "patch_size": 2,
                "in_channels": 4,
                "num_mmdit_layers": 1,
                "num_single_dit_layers": 1,
                "attention_head_dim": 8,
                "num_attention_heads": 2,
                "caption_projection_dim": 16,
                "joint_attention_dim": 16,
                "out_channels": 4,
                "pos_embed_max_size": 64,
            },
            r(1, 4, 8, 8),
            r(1, 5, 16),
            T.clone(),
        ),
    )
    yield (
        "Transformer2DModel",
        case(
            "Transformer2DModel",
            {
                "num_attention_heads": 2,
                "attention_head_dim": 4,
                "in_channels": 8,
                "norm_num_groups": 4,
                "cross_attention_dim": 8,
            },
            r(1, 8, 4, 4),
            r(1, 5, 8),
        ),
    )
    yield (
        "PriorTransformer",
        case(
            "PriorTransformer",
            {
                "num_attention_heads": 2,
                "attention_head_dim": 4,
                "num_layers": 1,
                "embedding_dim": 8,
                "num_embeddings": 5,
                "additional_embeddings": 4,
            },
            r(1, 8),
            T.clone(),
            r(1, 8),
            r(1, 5, 8),
        ),
    )
    yield (
        "StableCascadeUNet",
        case(
            "StableCascadeUNet",
            {
                "in_channels": 4,
                "out_channels": 4,
                "timestep_ratio_embedding_dim": 8,
                "conditioning_dim": 8,
                "block_out_channels": (8, 16),
                "num_attention_heads": (2, 2),
                "down_num_layers_per_block": (1, 1),
                "up_num_layers_per_block": (1, 1),
                "down_blocks_repeat_mappers": (1, 1),
                "up_blocks_repeat_mappers": (1, 1),
                "block_types_per_layer": (
                    ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
                    ("SDCascadeResBlock", "SDCascadeAttnBlock"),
                ),
                "switch_level": (False,),
                "clip_text_pooled_in_channels": 8,
                "clip_text_in_channels": 8,
                "clip_image_in_channels": 8,
                "clip_seq": 2,
                "effnet_in_channels": None,
                "pixel_mapper_in_channels": None,
            },
            r(1, 4, 8, 8),
            torch.tensor([0.5]),
            r(1, 1, 8),
            r(1, 3, 8),
        ),
    )
    yield (
        "UVit2DModel",
        case(
            "UVit2DModel",
            {
                "hidden_size": 16,
                "cond_embed_dim": 16,
                "micro_cond_encode_dim": 4,
                "micro_cond_embed_dim": 20,
                "encoder_hidden_size": 16,
                "vocab_size": 10,
                "codebook_size": 8,
                "in_channels": 16,
                "block_out_channels": 16,
                "num_res_blocks": 1,
                "block_num_heads": 2,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 16,
                "sample_size": 4,
            },
            torch.randint(8, (1, 4, 4)),
            r(1, 5, 16),
            r(1, 16),
            r(1, 5),
        ),
    )
