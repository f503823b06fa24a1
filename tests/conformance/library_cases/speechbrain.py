"""SpeechBrain's encoders, recognisers and vocoders, with few channels."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!speechbrain",
    "!hyperpyyaml",
    "ruamel.yaml",
    "joblib",
    "sentencepiece",
    "scipy",
    "huggingface-hub",
    "!torchaudio==2.11.0",
    "soundfile",
    "pandas",
)


def cases() -> Cases:
    features = torch.rand(2, 20, 8)

    def case(place: str, config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        module, name = place.split(":")
        return lambda: Case(
            getattr(importlib.import_module(f"speechbrain.{module}"), name)(**config),
            args or (features.clone(),),
            kwargs,
        )

    models = "lobes.models"
    yield (
        "ECAPA_TDNN",
        case(
            f"{models}.ECAPA_TDNN:ECAPA_TDNN",
            {
                "input_size": 8,
                "lin_neurons": 4,
                "channels": [16] * 5,
                "attention_channels": 4,
                "res2net_scale": 2,
                "se_channels": 4,
            },
        ),
    )
    yield (
        "ECAPA_TDNN lengths",
        case(
            f"{models}.ECAPA_TDNN:ECAPA_TDNN",
            {
                "input_size": 8,
                "lin_neurons": 4,
                "channels": [16] * 5,
                "attention_channels": 4,
                "res2net_scale": 2,
                "se_channels": 4,
            },
            features.clone(),
            torch.tensor([1.0, 0.5]),
        ),
    )
    yield "Xvector", case(f"{models}.Xvector:Xvector", {"in_channels": 8, "tdnn_channels": [8] * 5, "lin_neurons": 4})
    yield (
        "CRDNN",
        case(
            f"{models}.CRDNN:CRDNN",
            {"input_shape": (2, 20, 8), "cnn_channels": [4, 4], "rnn_neurons": 4, "rnn_layers": 1, "dnn_neurons": 4},
        ),
    )
    yield (
        "HifiGAN",
        case(
            f"{models}.HifiGAN:HifiganGenerator",
            {
                "in_channels": 8,
                "out_channels": 1,
                "resblock_type": "1",
                "resblock_dilation_sizes": [[1, 3, 5]],
                "resblock_kernel_sizes": [3],
                "upsample_kernel_sizes": [4, 4],
                "upsample_initial_channel": 8,
                "upsample_factors": [2, 2],
            },
            torch.rand(1, 8, 10),
        ),
    )
    yield (
        "MaskNet",
        case(
            f"{models}.conv_tasnet:MaskNet",
            {"N": 8, "B": 4, "H": 8, "P": 3, "X": 2, "R": 1, "C": 2},
            torch.rand(1, 8, 20),
        ),
    )
    yield (
        "ConvolutionFrontEnd",
        case(
            f"{models}.convolution:ConvolutionFrontEnd",
            {
                "input_shape": (2, 20, 8),
                "num_blocks": 2,
                "num_layers_per_block": 1,
                "out_channels": [4, 4],
                "kernel_sizes": [3, 3],
                "strides": [1, 2],
                "dilations": [1, 1],
                "residuals": [True, True],
            },
        ),
    )
    yield (
        "SBTransformerBlock",
        case(f"{models}.dual_path:SBTransformerBlock", {"num_layers": 1, "d_model": 8, "nhead": 2, "d_ffn": 8}),
    )
    yield (
        "RNNLM",
        case(
            f"{models}.RNNLM:RNNLM",
            {"output_neurons": 10, "embedding_dim": 8, "rnn_neurons": 8, "dnn_neurons": 8},
            torch.randint(10, (2, 6)),
        ),
    )
    yield (
        "ResNet",
        case(
            f"{models}.ResNet:ResNet",
            {"input_size": 16, "channels": [4, 4, 4, 4], "block_sizes": [1, 1, 1, 1], "lin_neurons": 4},
            torch.rand(2, 20, 16),
        ),
    )
    yield "VanillaNN", case(f"{models}.VanillaNN:VanillaNN", {"input_shape": (2, 20, 8), "dnn_neurons": 8})
    for attention in ("RelPosMHAXL", "regularMHA"):
        yield (
            f"Conformer {attention}",
            case(
                f"{models}.transformer.Conformer:ConformerEncoder",
                {"num_layers": 1, "d_model": 8, "d_ffn": 8, "nhead": 2, "kernel_size": 3, "attention_type": attention},
                features.clone(),
                pos_embs=torch.rand(1, 39, 8) if attention == "RelPosMHAXL" else None,
            ),
        )
    yield (
        "TransformerASR",
        case(
            f"{models}.transformer.TransformerASR:TransformerASR",
            {
                "tgt_vocab": 10,
                "input_size": 8,
                "d_model": 8,
                "nhead": 2,
                "num_encoder_layers": 1,
                "num_decoder_layers": 1,
                "d_ffn": 8,
            },
            features.clone(),
            torch.randint(1, 10, (2, 5)),
        ),
    )
    yield "Cnn14", case(f"{models}.Cnn14:Cnn14", {"mel_bins": 64, "emb_dim": 64}, torch.rand(1, 64, 64))
    yield "LiGRU", case("nnet.RNN:LiGRU", {"hidden_size": 4, "input_shape": (2, 20, 8)})
    yield (
        "SincConv",
        case("nnet.CNN:SincConv", {"out_channels": 4, "kernel_size": 5, "input_shape": (2, 40)}, torch.rand(2, 40)),
    )
    yield (
        "QuaternionConv",
        case(
            "nnet.quaternion_networks.q_CNN:QConv1d", {"out_channels": 2, "kernel_size": 3, "input_shape": (2, 20, 8)}
        ),
    )
    yield "STFT", case("processing.features:STFT", {"sample_rate": 100, "n_fft": 32}, torch.rand(1, 200))
    yield (
        "Filterbank",
        case("processing.features:Filterbank", {"n_mels": 4, "n_fft": 32, "sample_rate": 1000}, torch.rand(1, 10, 17)),
    )
    yield "Fbank", case("lobes.features:Fbank", {"n_mels": 4, "n_fft": 32, "sample_rate": 1000}, torch.rand(1, 400))
