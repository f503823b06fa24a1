"""Filters: most of them convolve with kernels of their own, some by unfolding."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!kornia", "!kornia_rs")


def cases() -> Cases:
    import kornia.contrib as contrib
    import kornia.feature as feature
    import kornia.filters as filters
    import kornia.models as models

    x = torch.rand(1, 3, 16, 16)
    gray = torch.rand(1, 1, 32, 32)
    image = {
        "MedianBlur": lambda: filters.MedianBlur((3, 3)),
        "BoxBlur": lambda: filters.BoxBlur((3, 3)),
        "BoxBlur separable": lambda: filters.BoxBlur((3, 3), separable=True),
        "GaussianBlur2d": lambda: filters.GaussianBlur2d((3, 3), (1.5, 1.5)),
        "GaussianBlur2d whole": lambda: filters.GaussianBlur2d((3, 3), (1.5, 1.5), separable=False),
        "MotionBlur": lambda: filters.MotionBlur(3, 35.0, 0.5),
        "BilateralBlur": lambda: filters.BilateralBlur((3, 3), 0.1, (1.0, 1.0)),
        "Laplacian": lambda: filters.Laplacian(3),
        "Sobel": filters.Sobel,
        "SpatialGradient": filters.SpatialGradient,
        "Canny": filters.Canny,
        "UnsharpMask": lambda: filters.UnsharpMask((3, 3), (1.5, 1.5)),
        "BlurPool2D": lambda: filters.BlurPool2D(3, 2),
        "MaxBlurPool2D": lambda: filters.MaxBlurPool2D(3),
        "DistanceTransform": contrib.DistanceTransform,
        "InRange": lambda: filters.InRange((0.1, 0.1, 0.1), (0.9, 0.9, 0.9)),
    }
    for name, build in image.items():
        yield name, lambda build=build: Case(build(), (x.clone(),))
    yield "GuidedBlur", lambda: Case(filters.GuidedBlur(3, 0.1), (x.clone(), x.clone()))
    yield "SpatialGradient3d", lambda: Case(filters.SpatialGradient3d(), (torch.rand(1, 2, 4, 8, 8),))
    yield "MotionBlur3D", lambda: Case(filters.MotionBlur3D(3, (35.0, 10.0, 5.0), 0.5), (torch.rand(1, 2, 5, 8, 8),))
    yield (
        "JointBilateralBlur",
        lambda: Case(filters.JointBilateralBlur((3, 3), 0.1, (1.0, 1.0)), (x.clone(), x.clone())),
    )
    yield "CornerHarris", lambda: Case(feature.CornerHarris(torch.tensor(0.04)), (gray.clone(),))
    yield "CornerGFTT", lambda: Case(feature.CornerGFTT(), (gray.clone(),))
    yield "BlobHessian", lambda: Case(feature.BlobHessian(), (gray.clone(),))
    yield "HardNet", lambda: Case(feature.HardNet(pretrained=False), (gray.clone(),))
    yield "HyNet", lambda: Case(feature.HyNet(pretrained=False), (gray.clone(),))
    yield "SOSNet", lambda: Case(feature.SOSNet(pretrained=False), (gray.clone(),))
    yield "TFeat", lambda: Case(feature.TFeat(pretrained=False), (gray.clone(),))
    yield "SIFTDescriptor", lambda: Case(feature.SIFTDescriptor(32), (gray.clone(),))
    yield "MKDDescriptor", lambda: Case(feature.MKDDescriptor(32, whitening=None), (gray.clone(),))
    yield "KeyNet", lambda: Case(feature.KeyNet(pretrained=False), (gray.clone(),))
    yield "DeFMO", lambda: Case(feature.DeFMO(pretrained=False), (torch.rand(1, 6, 32, 32),))
    yield "TinyViT", lambda: Case(contrib.TinyViT.from_config("5m", img_size=64), (torch.rand(1, 3, 64, 64),))
    yield (
        "RRDBNet",
        lambda: Case(models.RRDBNet(3, 3, num_block=1, num_feat=8, num_grow_ch=4), (torch.rand(1, 3, 8, 8),)),
    )
    yield "OtsuThreshold", lambda: Case(filters.OtsuThreshold(), (x.clone(),))
    yield "DenseSIFT", lambda: Case(feature.DenseSIFTDescriptor(), (torch.rand(1, 1, 16, 16),))
    yield "ScaleSpaceDetector", lambda: Case(feature.ScaleSpaceDetector(10), (gray.clone(),))
    yield "DescriptorMatcher", lambda: Case(feature.DescriptorMatcher("mnn"), (torch.rand(5, 8), torch.rand(6, 8)))
    yield "DISK", lambda: Case(feature.DISK(desc_dim=16), (torch.rand(1, 3, 32, 32),))
