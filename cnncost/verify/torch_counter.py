"""The model counted by torch's `FlopCounterMode`, on tensors without data."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from cnncost.frontends.torch.guard import same_random_state
from cnncost.graph import Graph, Node
from cnncost.verify.account import Account, Expected
from cnncost.verify.copies import META, Arguments, Nest, copied, on_meta, parameters_on_meta, unfused
from cnncost.verify.nodes import flops, macs, op_name
from cnncost.verify.reasons import reason
from cnncost.verify.result import PeerCount
from cnncost.verify.torch_rules import PRODUCTS, VECTOR, expected, families, is_vector_product

_VECTOR_OPS = {"mv": 0, "dot": 0, "vdot": 0, "addmv": 1}
"""Products with a vector, and which argument has as many elements as they have multiply-accumulates."""


class Counted(NamedTuple):
    """What the counter found, and what it met without a formula."""

    by_op: dict[str, int]
    unsupported: dict[str, int]
    vector_macs: int
    seconds: float


class _Uncounted(TorchDispatchMode):
    """Lies below the counter and notes the ops, taken apart as the counter sees them, that it has no formula for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.ops: Counter[str] = Counter()
        self.vector_macs = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, so that torch does not wrap `__torch_dispatch__` for its compiler."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = getattr(func, "_overloadpacket", func)
        if packet not in flop_registry and not getattr(func, "is_view", False):
            name = str(packet)
            self.ops[name] += 1
            place = _VECTOR_OPS.get(name.removeprefix("aten."))
            if place is not None:
                self.vector_macs += args[place].numel()
        return func(*args, **(kwargs or {}))


def count(model: nn.Module, arguments: Arguments, graph: Graph) -> PeerCount:
    """The counter's number for a copy of the model, each difference explained from the Graph, or why it failed."""
    about = PeerCount("torch", str(torch.__version__), "FLOP", "FlopCounterMode on tensors without data")
    try:
        counted = _count(model, arguments)
    except Exception as error:  # noqa: BLE001  # whatever the counter or the model raises is the result
        return replace(about, failure=reason(error))
    account = _account(graph, counted.vector_macs)
    return replace(
        about, total=sum(counted.by_op.values()), by_op=counted.by_op, unsupported=counted.unsupported,
        explanations=account.explanations(), unexplained=account.unexplained(families(counted.by_op)),
        seconds=counted.seconds,
    )  # fmt: skip


def _count(model: nn.Module, arguments: Arguments) -> Counted:
    """Run with all tensors on `meta`; if that fails, once more with buffers and inputs that have values."""
    begun = perf_counter()
    try:
        ops, by_op = _run(copied(model, on_meta), arguments.nested(arguments.flat))
    except Exception as first:  # noqa: BLE001  # as above
        try:
            ops, by_op = _run(copied(model, parameters_on_meta), arguments.nested(arguments.with_values()))
        except Exception:  # noqa: BLE001  # the plain way's failure is the one to tell
            raise first from None
    return Counted(by_op, dict(ops.ops), ops.vector_macs, perf_counter() - begun)


def _run(twin: nn.Module, arguments: Nest) -> tuple[_Uncounted, dict[str, int]]:
    args, kwargs = arguments
    uncounted, counter = _Uncounted(), FlopCounterMode(display=False)
    with warnings.catch_warnings(), same_random_state(), unfused(), torch.enable_grad():
        warnings.simplefilter("ignore")  # they are about the model, and were shown when cnncost ran it
        with META, uncounted, counter:
            twin(*args, **kwargs)
    found = counter.get_flop_counts().get("Global", {})
    return uncounted, {str(op): int(amount) for op, amount in found.items()}


def warm_up() -> None:
    """Have torch import its compiler, which the counter's first use does, before anybody's time is taken."""
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
    """MACs of these products that were not run as `mv` or `dot`, beside those that the model itself calls."""
    asked_for = sum(macs(node) for node in graph.nodes if op_name(node) in _VECTOR_OPS)
    return sum(macs(node) for node in vectors) - (vector_macs - asked_for)
