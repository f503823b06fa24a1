"""Torchvision's detection ops: non-maximum suppression, region sampling, deformable convolutions."""

from __future__ import annotations

from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers


@lowers("torchvision::nms")
def nms(call: OpCall) -> Lowered:
    """dets: N,4; scores: N."""
    return "nms", {"boxes": call["dets"].shape[0]}


@lowers("torchvision::roi_align", "torchvision::ps_roi_align")
def roi_align(call: OpCall) -> Lowered:
    """input: N,C,H,W; rois: K,5. With a ratio of 0 or less, the number of samples depends on the regions."""
    return "roi_align", {"samples": max(int(call["sampling_ratio"]), 0)}


@lowers("torchvision::roi_pool", "torchvision::ps_roi_pool")
def roi_pool(call: OpCall) -> Lowered:  # noqa: ARG001  # its window sizes depend on the regions
    """input: N,C,H,W; rois: K,5."""
    return "roi_pool", {}


@lowers("torchvision::_roi_align_backward", "torchvision::_ps_roi_align_backward")
def roi_align_backward(call: OpCall) -> Lowered:
    """grad: K,C,P,Q; rois: K,5."""
    return "roi_align_backward", {"samples": max(int(call["sampling_ratio"]), 0)}


@lowers("torchvision::_roi_pool_backward")
def roi_pool_backward(call: OpCall) -> Lowered:
    """grad: K,C,P,Q. Each gradient goes to the pixel that was the maximum."""
    return "scatter", {"accumulate": True, "elements": call["grad"].numel()}


_DEFORM = {
    "torchvision::deform_conv2d": "deform_conv", "torchvision::_deform_conv2d_backward": "deform_conv_backward",
}  # fmt: skip


@lowers(*_DEFORM)
def deform_conv(call: OpCall) -> Lowered:
    """grad: N,K,P,Q; input: N,C,H,W; weight: K,C/g,R,S; offset: N,2·o·R·S,P,Q."""
    attrs: Attrs = {
        "groups": call["groups"], "offset_groups": call["offset_groups"], "masked": bool(call["use_mask"]),
        "kernel": tuple(call["weight"].shape[2:]), "stride": (call["stride_h"], call["stride_w"]),
        "padding": (call["pad_h"], call["pad_w"]), "dilation": (call["dilation_h"], call["dilation_w"]),
    }  # fmt: skip
    return _DEFORM[call.name], attrs
