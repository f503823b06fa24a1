"""Cost rules of the ops. Importing the package registers the rules of all families."""

from cnncost.ops import (
    attention,
    backward,
    collective,
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
    transfer,
    window_workspace,
)  # fmt: skip
from cnncost.ops.check import verify_graph
from cnncost.ops.kinds import kind, maybe, one, rest, some
from cnncost.ops.registry import Cost, Term, cost, cost_of, flops, kinds, macs, rule, rule_doc

__all__ = [
    "Cost", "Term", "attention", "backward", "collective", "conv", "conv_workspace", "cost", "cost_of", "custom",
    "detection", "flops", "kind", "kinds", "layout", "linalg", "losses", "macs", "matmul", "maybe", "norm", "one",
    "optimizers", "pointwise", "pool", "quantized", "recurrent", "recurrent_workspace", "reduce", "rest", "rule",
    "rule_doc", "some", "sparse", "transfer", "verify_graph", "window_workspace",
]  # fmt: skip
