"""Counts a model with fvcore's `FlopCountAnalysis`: a real forward with real weights under torch's jit tracer."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import MissingPackageError
from cnncost.frontends.torch.guard import same_random_state
from cnncost.graph import Graph, Node
from cnncost.verify.account import Account, Expected, Whole
from cnncost.verify.copies import Arguments, copied, on_cpu, tensors, unfused
from cnncost.verify.fvcore_rules import einsum, expected, family
from cnncost.verify.memory import shortage
from cnncost.verify.nodes import macs, op_name
from cnncost.verify.reasons import reason
from cnncost.verify.result import PeerCount
from cnncost.verify.trace import Parts, TracedOp, traced

_EINSUM = "aten::einsum"


class Counted(NamedTuple):
    """fvcore's result, and the composite ops in its trace that the Graph records as separate nodes."""

    by_op: dict[str, int]
    unsupported: dict[str, int]
    composites: tuple[TracedOp, ...]
    seconds: float


def count(model: nn.Module, arguments: Arguments, graph: Graph, autocast: bool = False) -> PeerCount:
    """Return fvcore's count of a copy of the model, with differences explained from the Graph, or why it failed.

    With `autocast`, all matrix products are compared as one sum, because composite products are then whole in fvcore's
    trace but decomposed in the Graph, where each part is cast.
    """
    about = PeerCount("fvcore", "", "MAC", "FlopCountAnalysis of a real forward on the CPU")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns because fvcore scripts functions on import
            analysis = _analysis()
        about = replace(about, version=version("fvcore"))
        if lacking := shortage(graph):
            return replace(about, failure=lacking)
        counted = _count(analysis, model, arguments, {op_name(node) for node in graph.nodes})
    except MissingPackageError as error:
        return replace(about, failure=str(error))
    except Exception as error:  # noqa: BLE001  # any error of fvcore, the tracer or the model is part of the result
        return replace(about, failure=reason(error))
    account = _account(graph, counted.composites, family if autocast else str)  # str: the op's own name
    by_family: Counter[str] = Counter()
    for op, amount in counted.by_op.items():
        by_family[family(op) if autocast else op] += amount
    return replace(
        about, total=sum(counted.by_op.values()), by_op=counted.by_op, unsupported=counted.unsupported,
        explanations=account.explanations(), unexplained=account.unexplained(by_family), seconds=counted.seconds,
    )  # fmt: skip


def _analysis() -> Any:
    """Import and return fvcore's analysis class. Raises MissingPackageError if that fails."""
    try:
        from fvcore.nn import FlopCountAnalysis
    except ImportError as error:
        raise MissingPackageError(
            f"fvcore can't be imported ({error}); install it with `python -m pip install fvcore`, "
            "or leave it out with --no-fvcore"
        ) from error
    return FlopCountAnalysis


def _count(analysis: Any, model: nn.Module, arguments: Arguments, known: set[str]) -> Counted:
    start = perf_counter()
    flat_copy = _Flat(copied(model, on_cpu), arguments)
    observed: list[TracedOp] = []
    counter = _recording_subclass(analysis, observed, known)(flat_copy, arguments.on_cpu())
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    counter.set_op_handle(_EINSUM, _watched_einsum(observed))
    with _quiet():
        by_op = {str(op): int(amount) for op, amount in counter.by_operator().items()}
        unsupported = {str(op): int(times) for op, times in counter.unsupported_ops().items()}
    return Counted(by_op, unsupported, tuple(observed), perf_counter() - start)


@contextmanager
def _quiet() -> Iterator[None]:
    """Context manager that disables warnings, fused paths, and grad, which would keep all activations alive.

    It restores the random state at the end.
    """
    with warnings.catch_warnings(), same_random_state(), unfused(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about itself and the model
        yield


def _watched_einsum(observed: list[TracedOp]) -> Callable[[list[Any], list[Any]], Any]:
    """Return fvcore's formula for einsum, wrapped so that the op is recorded as well."""
    from fvcore.nn.jit_handles import einsum_flop_jit

    def handle(inputs: list[Any], outputs: list[Any]) -> Any:
        observed.append(traced(outputs[0].node()))
        return einsum_flop_jit(inputs, outputs)

    return handle


def _recording_subclass(analysis: Any, observed: list[TracedOp], known: set[str]) -> Any:
    """Return a subclass of the analysis that records ops with neither a formula in fvcore nor a node in the Graph.

    Args:
        analysis: fvcore's class.
        observed: the list to which these ops are appended.
        known: names of the Graph's ops.
    """

    class Observing(analysis):  # type: ignore[misc]  # fvcore has no types
        def _should_ignore_node(self, node: Any) -> bool:
            ignored = bool(super()._should_ignore_node(node))
            if not ignored and _name_in_graph(str(node.kind())) not in known:
                observed.append(traced(node))
            return ignored

    return Observing


def _name_in_graph(kind: str) -> str:
    """Return a jit name as `op_name` would write it: `aten::relu_` → `relu_`, `my_lib::my_op` → `my_lib.my_op`."""
    space, _, name = kind.partition("::")
    return name if space == "aten" else f"{space}.{name}"


class _Flat(nn.Module):
    """Wraps the model as a function from tensors to tensors, as the tracer requires."""

    def __init__(self, model: nn.Module, arguments: Arguments) -> None:
        super().__init__()
        self.model = model
        self._nested = arguments.nested

    def forward(self, *flat: torch.Tensor) -> Any:
        """Call the model with these tensors in its arguments; return the tensors of the result."""
        args, kwargs = self._nested(flat)
        result = self.model(*args, **kwargs)
        return tuple(tensors(result)) or result


def _account(graph: Graph, composites: tuple[TracedOp, ...], grouped: Callable[[str], str]) -> Account:
    """Return fvcore's predicted count; `grouped` returns the name under which an op of fvcore's is compared."""

    def rule_for(node: Node) -> Expected:
        found = expected(node)
        return found._replace(op=grouped(found.op))

    account, parts = Account(rule_for, macs), Parts()
    account.add(graph.nodes)
    for op in composites:
        nodes = parts.nodes_of(op)
        if op.kind == _EINSUM and op.args:
            rule = einsum(str(op.args[0]), op.shapes(), sum(map(macs, nodes)))
            account.add_whole(Whole(op.kind, nodes, rule))
        elif any(macs(node) or expected(node).amount for node in nodes):
            account.add_whole(Whole(op.kind, nodes, Expected("", 0, f"no formula for {op.kind}: counts as 0")))
    return account
