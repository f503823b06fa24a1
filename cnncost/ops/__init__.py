"""Cost rules of the ops. Importing the package registers the rules of all families."""

from cnncost.ops import (
    attention,
    backward,
    conv,
    conv_workspace,
    custom,
    detection,
    layout,
    linalg,
    losses,
    matmul,
    norm,
    optimizers,
    pointwise,
    pool,
    quantized,
    recurrent,
    recurrent_workspace,
    reduce,
    sparse,
    window_workspace,
)  # fmt: skip
from cnncost.ops.registry import Cost, Term, cost, cost_of, flops, kinds, macs, rule, rule_doc

__all__ = [
    "Cost", "Term", "attention", "backward", "conv", "conv_workspace", "cost", "cost_of", "custom", "detection",
    "flops", "kinds", "layout", "linalg", "losses", "macs", "matmul", "norm", "optimizers", "pointwise", "pool",
    "quantized", "recurrent", "recurrent_workspace", "reduce", "rule", "rule_doc", "sparse", "window_workspace",
]  # fmt: skip
