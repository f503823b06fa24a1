"""Detectors from their own descriptions: Ultralytics' YAML files, without weights; torchvision's."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!ultralytics",
    "!ultralytics-thop",
    "py-cpuinfo",
    "psutil",
    "opencv-python-headless",
    "matplotlib",
    "requests",
    "pyyaml",
    "scipy",
    "polars",
)


def cases() -> Cases:
    from ultralytics.nn.tasks import (
        ClassificationModel,
        DetectionModel,
        PoseModel,
        RTDETRDetectionModel,
        SegmentationModel,
    )

    image = torch.rand(1, 3, 64, 64)
    for name, kind in {
        "yolov5n": DetectionModel,
        "yolov8n": DetectionModel,
        "yolov8n-seg": SegmentationModel,
        "yolov8n-pose": PoseModel,
        "yolov8n-cls": ClassificationModel,
        "yolov9t": DetectionModel,
        "yolov10n": DetectionModel,
        "yolo11n": DetectionModel,
        "yolo12n": DetectionModel,
        "rtdetr-resnet50": RTDETRDetectionModel,
    }.items():
        yield name, lambda name=name, kind=kind: Case(kind(f"{name}.yaml", verbose=False), (image.clone(),))
    yield (
        "yolov8n training mode",
        lambda: Case(DetectionModel("yolov8n.yaml", verbose=False), (image.clone(),), training=True),
    )

    def torchvision(name: str) -> Case:
        import torchvision.models.detection as d

        more = {"rpn_pre_nms_top_n_test": 20, "rpn_post_nms_top_n_test": 10} if "rcnn" in name else {}
        return Case(
            getattr(d, name)(weights=None, weights_backbone=None, min_size=64, max_size=64, **more),
            ([torch.rand(3, 64, 64)],),
        )

    for name in ("fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large"):
        yield f"torchvision {name}", lambda name=name: torchvision(name) if "ssd" not in name else _ssd()


def _ssd() -> Case:
    import torchvision.models.detection as d

    return Case(d.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None), ([torch.rand(3, 320, 320)],))
