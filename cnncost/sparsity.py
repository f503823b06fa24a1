"""What is left of a pruned or sparse model's multiply-accumulates if zeros are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnncost.passes.effective import Effective, effective

if TYPE_CHECKING:
    from torch import nn


def effective_macs(model: nn.Module, inputs: Any) -> Effective:
    """Dense and effective multiply-accumulates of a model, by its weights that are not zero.

    A report counts zeros, as dense kernels multiply them, too. Here each product with a weight of zero is left out:
    of convolutions, linear layers and products with a parameter; pruned weights (`torch.nn.utils.prune`) by their
    masks. All other products, such as attention's, and those with a part of a weight, count in full.

    Args:
        model: a module with weights, which are read; it is not changed.
        inputs: as `cnncost.analyze` takes them.

    Raises:
        CnncostError: the model can't be run, or its weights have no values.
    """
    from cnncost.frontends.torch import record
    from cnncost.frontends.torch.nonzero import nonzero_weights
    from cnncost.frontends.torch.unwrap import unwrapped

    graph = record(model, inputs)
    return effective(graph, nonzero_weights(unwrapped(model), graph))
