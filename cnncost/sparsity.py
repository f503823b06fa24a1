"""What is left of a model's multiply-accumulates if zeros are skipped: of weights, and of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnncost.passes.effective import Effective, active, effective

if TYPE_CHECKING:
    from torch import nn

    from cnncost.frontends.torch.weights import Weights


def effective_macs(model: nn.Module, inputs: Any, *, activations: bool = False) -> Effective:
    """Dense and effective multiply-accumulates of a model, by its weights that are not zero.

    A report counts zeros, as dense kernels multiply them, too. Here each product with a weight of zero is left out:
    of convolutions, linear layers and products with a parameter; pruned weights (`torch.nn.utils.prune`) by their
    masks. All other products, such as attention's, and those with a part of a weight, count in full. A product with a
    sparse layout counts at most what it stores; where zeros of two factors meet, which of them do isn't known, and the
    count is an upper bound (`in_full`).

    Args:
        model: a module with weights, which are read; it is not changed.
        inputs: as `cnncost.analyze` takes them.
        activations: also leave out products with an activation of zero, by one real run of a copy on the values of the
            inputs (drawn, where only shapes are given). A product counts where both factors are not zero: of
            convolutions (padding is zero), linear layers, matrix products and `scaled_dot_product_attention`, whose
            masked weights are zero. All others, such as those of an LSTM, count in full (`in_full`). Where the
            activations of an op are all 0 or 1, as spikes are, its products are accumulations (`accumulates`); `energy`
            is theirs and the others'. Figures are of these values alone.

    Raises:
        CnncostError: the model can't be run, or its weights have no values.
    """
    from cnncost.frontends.torch import record
    from cnncost.frontends.torch.nonzero import nonzero_weights
    from cnncost.frontends.torch.unwrap import unwrapped

    if activations:
        return _active(model, inputs)
    graph = record(model, inputs)
    return effective(graph, *nonzero_weights(unwrapped(model), graph))


def _active(model: nn.Module, inputs: Any) -> Effective:
    from cnncost.frontends.torch.activity import ActivityRecorder
    from cnncost.frontends.torch.real import record_real

    made: list[ActivityRecorder] = []

    def recorder(weights: Weights) -> ActivityRecorder:
        made.append(ActivityRecorder(weights))
        return made[-1]

    graph = record_real(model, inputs, recorder=recorder)
    return active(graph, made[-1].active)
