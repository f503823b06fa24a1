"""Every architecture of segmentation-models-pytorch, on a small encoder."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!segmentation-models-pytorch", "timm", "safetensors", "huggingface-hub")


def cases() -> Cases:
    import segmentation_models_pytorch as smp

    wanted = {
        name: {}
        for name in (
            "Unet",
            "UnetPlusPlus",
            "FPN",
            "Linknet",
            "MAnet",
            "PSPNet",
            "PAN",
            "DeepLabV3",
            "DeepLabV3Plus",
            "UPerNet",
        )
    }
    for name in wanted:
        yield (
            f"{name} resnet18",
            lambda name=name: Case(
                getattr(smp, name)("resnet18", encoder_weights=None, classes=2), (torch.rand(1, 3, 128, 128),)
            ),
        )
    yield (
        "Segformer mit_b0",
        lambda: Case(smp.Segformer("mit_b0", encoder_weights=None, classes=2), (torch.rand(1, 3, 64, 64),)),
    )
    yield (
        "DPT vit_tiny",
        lambda: Case(
            smp.DPT("tu-vit_tiny_patch16_224.augreg_in21k", encoder_weights=None, classes=2, dynamic_img_size=True),
            (torch.rand(1, 3, 64, 64),),
        ),
    )
    yield (
        "Unet mobilenet scse aux",
        lambda: Case(
            smp.Unet("mobilenet_v2", encoder_weights=None, decoder_attention_type="scse", aux_params={"classes": 3}),
            (torch.rand(1, 3, 64, 64),),
        ),
    )
    yield (
        "FPN efficientnet-b0",
        lambda: Case(smp.FPN("efficientnet-b0", encoder_weights=None), (torch.rand(1, 3, 64, 64),)),
    )
