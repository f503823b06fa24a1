"""Effective MACs: a model's multiply-accumulates without the products that have a zero weight or activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnncost.errors import InputError
from cnncost.passes.effective import Effective, effective, effective_in_run
from cnncost.shown import ShownEffective

if TYPE_CHECKING:
    from torch import nn

    from cnncost.frontends.torch.weights import Weights
    from cnncost.sources.resolve import Model


def effective_macs(model: Model, inputs: Any = None, *, activations: bool = False) -> ShownEffective:
    """Count the dense and effective multiply-accumulates of a model.

    A report counts products with zeros, because dense kernels compute them. Here, products with a zero weight are left
    out in convolutions, linear layers and matrix products with a parameter; weights pruned by `torch.nn.utils.prune`
    count as zero where their mask is zero. All other products, such as those of attention or with part of a weight,
    count in full. A product with a sparse tensor counts at most its stored elements; if both factors have zeros, it is
    unknown how many coincide, and the count is an upper bound (`in_full`).

    Args:
        model: as for `cnncost.analyze`. A module with weights is read, not changed; a name is built with its initial
            weights.
        inputs: as for `cnncost.analyze`.
        activations: also leave out products with a zero activation, found by actually running a copy of the model on
            the inputs (random values if only shapes are given). Only products of two nonzero factors are counted in
            convolutions (padding is zero), linear layers, matrix products and `scaled_dot_product_attention` (masked
            attention weights are zero). All others, such as an LSTM's, count in full (`in_full`). If an op's
            activations are all 0 or 1, as in a spiking network, its products are accumulations (`accumulates`);
            `energy` covers both. The figures hold for these input values only.

    Raises:
        CnncostError: the model can't be run, or its weights have no data.
    """
    from cnncost.frontends.torch import record
    from cnncost.frontends.torch.nonzero import nonzero_weights
    from cnncost.frontends.torch.unwrap import unwrapped
    from cnncost.sources.find import find
    from cnncost.sources.resolve import resolve

    if not isinstance(activations, bool):
        raise InputError(f"effective_macs: activations: expected True or False, got {activations!r}"[:300])
    resolved = resolve(find(model).without_method("effective_macs"), inputs)
    with resolved.source.importable():
        module = resolved.with_weights() if resolved.weightless else resolved.model
        if activations:
            return ShownEffective(*_active(module, resolved.inputs))
        graph = record(module, resolved.inputs)
    return ShownEffective(*effective(graph, *nonzero_weights(unwrapped(module), graph)))


def _active(model: nn.Module, inputs: Any) -> Effective:
    """Run a copy of the model on data, and count the products that have neither a zero weight nor a zero activation."""
    from cnncost.frontends.torch.activity import ActivityRecorder, Kinds
    from cnncost.frontends.torch.real import record_real
    from cnncost.ops.kinds import having

    kinds = Kinds(having("product"), having("convolution"), having("weighted"))

    recorders: list[ActivityRecorder] = []  # one for each start of the run; the last one counts

    def recorder(weights: Weights) -> ActivityRecorder:
        recorders.append(ActivityRecorder(weights, kinds))
        return recorders[-1]

    graph = record_real(model, inputs, recorder=recorder)
    return effective_in_run(graph, recorders[-1].active)
