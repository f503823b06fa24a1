"""Losses that are not elementwise: CTC, and cross entropy fused with a linear layer."""

from __future__ import annotations

from typing import Any

from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers


def _as_ints(lengths: Any) -> list[int]:
    """Return lengths as ints; they may be a tensor if forward runs on real data."""
    if isinstance(lengths, (list, tuple)):
        return [int(n) for n in lengths]
    with without_modes():
        return [int(n) for n in lengths.tolist()]


_CTC = {"_ctc_loss": "ctc", "_ctc_loss_backward": "ctc_backward"}


@lowers(*_CTC)
def ctc(call: OpCall) -> Lowered:
    """log_probs: T,N,C; input_lengths and target_lengths: the numbers of steps and labels of the N sequences."""
    steps, labels = _as_ints(call["input_lengths"]), _as_ints(call["target_lengths"])
    if len(steps) == 1:  # one length for all sequences
        steps *= len(labels)
    attrs: Attrs = {
        "sequences": len(labels),
        "transitions": sum(max(t - 1, 0) * (2 * s + 1) for t, s in zip(steps, labels, strict=True)),
        "steps": sum(steps),
        "classes": call["log_probs"].shape[-1],
    }
    return _CTC[call.name], attrs


@lowers(
    "torch_nn::_linear_cross_entropy_batch_chunked", "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction"
)  # fmt: skip
def linear_cross_entropy(call: OpCall) -> Lowered:
    """input: N,F; linear_weight: C,F. With reduction mean or sum, forward also computes the requested gradients."""
    attrs: Attrs = {
        "bias": call["linear_bias"] is not None,
        "of_input": bool(call.get("compute_input_grad", False)),
        "of_weight": bool(call.get("compute_linear_weight_grad", False)),
        "of_bias": bool(call.get("compute_linear_bias_grad", False)),
        "scratch_unknown": True,  # a chunk of logits, whose size torch chooses
    }
    return "linear_cross_entropy", attrs
