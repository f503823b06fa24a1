"""The Graph of a forward that failed: what it recorded until then."""

from __future__ import annotations

from cnncost.errors import GraphError
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.modules import Tracker
from cnncost.graph import Graph, RealRun, verify


def partial_graph(
    tracker: Tracker, inputs: Inputs, input_values: tuple[int, ...], real: RealRun | None = None
) -> Graph | None:
    """Return a failed forward's partial Graph; None if it has no nodes, or the failure came later or within an op.

    Args:
        tracker: the recording's module tracker.
        inputs: the model's inputs.
        input_values: the inputs' value ids.
        real: how the Graph depends on real data, if it was recorded on real data.
    """
    recorder = tracker.recorder
    if recorder.phase != "forward" or not recorder.nodes:
        return None
    scopes, calls = tracker.finish()
    ledger = recorder.ledger
    graph = Graph(
        tuple(ledger.values), tuple(recorder.nodes), scopes, calls, ledger.storages(), input_values, (), real,
        inputs.examples, inputs.notes, tuple(recorder.masks.by_node.items()), tracker.failure(),
    )  # fmt: skip
    try:
        return verify(graph)
    except GraphError:  # forward failed in the middle of an op
        return None
