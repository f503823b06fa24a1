"""Counts a model with torch's `FlopCounterMode`, on meta tensors or on real data."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.frontends.torch.compat.counter import FlopCounterMode, flop_registry
from cnncost.frontends.torch.compat.dispatch import TorchDispatchMode
from cnncost.frontends.torch.guard import same_random_state
from cnncost.graph import Graph, Node
from cnncost.verify.account import Account, Expected
from cnncost.verify.copies import META, Arguments, Nest, copied, on_cpu, on_meta, parameters_on_meta, unfused
from cnncost.verify.memory import shortage
from cnncost.verify.nodes import flops, macs, op_name
from cnncost.verify.reasons import reason
from cnncost.verify.result import PeerCount
from cnncost.verify.torch_rules import PRODUCTS, VECTOR, expected, families, is_vector_product

_VECTOR_OPS = {"mv": 0, "dot": 0, "vdot": 0, "addmv": 1}
"""Vector products, each with the index of the argument whose numel equals the number of multiply-accumulates."""


class Counted(NamedTuple):
    """The counter's result, and the ops for which it has no formula.

    Attributes:
        by_op: FLOPs by op.
        unsupported: how often each op without a formula ran.
        vector_macs: multiply-accumulates of the ops in `_VECTOR_OPS`, which have no formula.
        seconds: duration of the run.
        untracked: whether the model was run without the counter's module tracker, because that failed.
    """

    by_op: dict[str, int]
    unsupported: dict[str, int]
    vector_macs: int
    seconds: float
    untracked: bool = False


class _Uncounted(TorchDispatchMode):
    """A dispatch mode below the counter that records the (decomposed) ops for which the counter has no formula."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.ops: Counter[str] = Counter()
        self.vector_macs = 0
        self.untracked = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, so that torch does not wrap `__torch_dispatch__` for its compiler."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = getattr(func, "overloadpacket", func)
        if packet not in flop_registry and not getattr(func, "is_view", False):
            name = str(packet)
            self.ops[name] += 1
            argument = _VECTOR_OPS.get(name.removeprefix("aten."))
            if argument is not None:
                self.vector_macs += args[argument].numel()
        return func(*args, **(kwargs or {}))


def count(model: nn.Module, arguments: Arguments, graph: Graph) -> PeerCount:
    """Return the count of a copy of the model, with differences explained from the Graph, or why it failed."""
    on_values = graph.real is not None
    if on_values and (lacking := shortage(graph)):
        return replace(_about(), run=_REAL_RUN, failure=lacking)
    try:
        found = _counted_on_data(model, arguments) if on_values else counted(model, arguments)
    except Exception as error:  # noqa: BLE001  # any error of the counter or the model is part of the result
        return replace(_about(), failure=reason(error))
    peer = explained(found, graph)
    if on_values:
        return replace(peer, run=_REAL_RUN)
    if not peer.unexplained or shortage(graph):
        return peer
    # Forward may branch on a device or on values, and so take another path on `meta`: count a real run instead.
    try:
        return replace(explained(_counted_on_data(model, arguments), graph), run=_REAL_RUN)
    except Exception:  # noqa: BLE001  # as above; return the count on meta tensors, which is labelled as such
        return peer


_REAL_RUN = "FlopCounterMode of a real forward on the CPU"


def _about() -> PeerCount:
    return PeerCount("torch", str(torch.__version__), "FLOP", "FlopCounterMode on tensors without data")


def explained(counted: Counted, graph: Graph) -> PeerCount:
    """Return the counter's result, with differences explained from the Graph of the same model."""
    account = _account(graph, counted.vector_macs)
    return replace(
        _about(), total=sum(counted.by_op.values()), by_op=counted.by_op, unsupported=counted.unsupported,
        explanations=account.explanations(), unexplained=account.unexplained(families(counted.by_op)),
        seconds=counted.seconds,
    )  # fmt: skip


def counted(model: nn.Module, arguments: Arguments) -> Counted:
    """Run a copy with all tensors on `meta`; if that fails, again with the values of buffers and inputs.

    Raises:
        Exception: the counter or the model raised it, in the first run.
    """
    clone = copied(model, on_meta)
    start = perf_counter()
    try:
        ops, by_op = _run(clone, arguments.nested(arguments.flat))
    except Exception as first:  # noqa: BLE001  # as above
        clone = copied(model, parameters_on_meta)
        start = perf_counter()
        try:
            ops, by_op = _run(clone, arguments.nested(arguments.with_values()))
        except Exception:  # noqa: BLE001  # report the failure of the first, plain attempt
            raise first from None
    return Counted(by_op, dict(ops.ops), ops.vector_macs, perf_counter() - start, ops.untracked)


def _counted_on_data(model: nn.Module, arguments: Arguments) -> Counted:
    """Run a copy on real data, as for fvcore."""
    clone = copied(model, on_cpu)
    start = perf_counter()
    ops, by_op = _run(clone, arguments.nested(arguments.on_cpu()), torch.device("cpu"))
    return Counted(by_op, dict(ops.ops), ops.vector_macs, perf_counter() - start, ops.untracked)


class _Untracked:
    """Replaces the counter's module tracker, and attributes everything to the whole model."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        """Do nothing: there are no hooks to register."""

    def __exit__(self, *args: object) -> None:
        """Do nothing: there are no hooks to remove."""


def _run(clone: nn.Module, arguments: Nest, device: torch.device = META) -> tuple[_Uncounted, dict[str, int]]:
    """Run the model; if an assertion of the counter's module tracker fails, run it again without the tracker."""
    try:
        return _run_once(clone, arguments, FlopCounterMode(display=False), device)
    except AssertionError as error:
        if not any(Path(f.filename).name == "module_tracker.py" for f in traceback.extract_tb(error.__traceback__)):
            raise
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Untracked()  # type: ignore[assignment]  # same interface
    uncounted, by_op = _run_once(clone, arguments, counter, device)
    uncounted.untracked = True
    return uncounted, by_op


def _run_once(
    clone: nn.Module, arguments: Nest, counter: FlopCounterMode, device: torch.device
) -> tuple[_Uncounted, dict[str, int]]:
    args, kwargs = arguments
    uncounted = _Uncounted()
    with warnings.catch_warnings(), same_random_state(), unfused(), torch.enable_grad():
        warnings.simplefilter("ignore")  # the model's warnings were shown when cnncost ran it
        with device, uncounted, counter:
            clone(*args, **kwargs)
    found = counter.get_flop_counts().get("Global", {})
    return uncounted, {str(op): int(amount) for op, amount in found.items()}


def warm_up() -> None:
    """Use the counter once before timing, because its first use makes torch import its compiler."""
    with warnings.catch_warnings(), FlopCounterMode(display=False):
        warnings.simplefilter("ignore")
        torch.empty(1, device=META).neg()


def _account(graph: Graph, vector_macs: int) -> Account:
    account = Account(expected, flops)
    vectors = [node for node in graph.nodes if is_vector_product(node)]
    account.add(node for node in graph.nodes if not is_vector_product(node))
    if vectors:
        account.add_as(vectors, Expected(PRODUCTS, 2 * _seen_as_matrices(graph, vectors, vector_macs), VECTOR))
    return account


def _seen_as_matrices(graph: Graph, vectors: list[Node], vector_macs: int) -> int:
    """Return the MACs of those `vectors` that ran as matrix products instead of `mv` or `dot`.

    `vector_macs` also includes calls of `mv` and `dot` by the model itself, which are not among `vectors`.
    """
    called_by_model = sum(macs(node) for node in graph.nodes if op_name(node) in _VECTOR_OPS)
    return sum(macs(node) for node in vectors) - (vector_macs - called_by_model)
