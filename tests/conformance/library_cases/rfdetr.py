"""RF-DETR as its own builder makes it, at the smallest resolution, without weights."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!rfdetr",
    "!supervision",
    "!pyDeprecate",
    "transformers",
    "pydantic",
    "requests",
    "tqdm",
    "opencv-python-headless",
    "matplotlib",
    "defusedxml",
    "scipy",
    "pycocotools",
    "peft",
    "roboflow",
    "psutil",
)


def cases() -> Cases:
    from rfdetr.config import RFDETRNanoConfig, RFDETRSegNanoConfig
    from rfdetr.models.lwdetr import build_model_from_config
    from rfdetr.utilities.tensors import NestedTensor

    def model(config: type = RFDETRNanoConfig, size: int = 128) -> torch.nn.Module:
        return build_model_from_config(
            config(
                pretrain_weights=None,
                resolution=size,
                positional_encoding_size=8,
                num_queries=20,
                dec_layers=2,
                device="cpu",
            )
        )

    image = torch.rand(1, 3, 128, 128)
    yield "nano, a tensor", lambda: Case(model(), (image.clone(),))
    yield "nano, a list", lambda: Case(model(), ([image[0].clone()],))
    yield (
        "nano, a NestedTensor",
        lambda: Case(model(), (NestedTensor(image.clone(), torch.zeros(1, 128, 128, dtype=torch.bool)),)),
    )
    yield "segmentation nano", lambda: Case(model(RFDETRSegNanoConfig, 144), (torch.rand(1, 3, 144, 144),))
