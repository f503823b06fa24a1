"""Fused optimizer steps: one kernel per parameter."""

from __future__ import annotations

from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lowers


@lowers("_fused_adam", "_fused_adamw", "_fused_sgd", "_fused_adagrad")
def optimizer_step(call: OpCall) -> Lowered:
    """Lists of one element each (parameter, gradient, state), and scalars, which enable terms of the update."""
    momentum, dampening = call.get("momentum", 0), call.get("dampening", 0)
    is_first_step = bool(call.get("is_first_step", False))
    attrs: Attrs = {
        "fn": call.name.removeprefix("_fused_"),
        "decay": bool(call["weight_decay"]),
        "maximize": bool(call["maximize"]),
        "amsgrad": bool(call.get("amsgrad", False)),
        "averages": bool(momentum) and not is_first_step,
        "dampened": bool(momentum and dampening) and not is_first_step,
        "nesterov": bool(call.get("nesterov", False)),
        "unscales": call.get("grad_scale") is not None,
    }
    return "optimizer_step", attrs
