"""What the tables of torch_tables.py hold, and how one sample is judged."""

from __future__ import annotations

import re
import signal
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from torch.utils.flop_counter import FlopCounterMode

if "expecttest" not in sys.modules:  # torch's tables import it for test classes of theirs that are not used here
    try:
        import expecttest  # noqa: F401
    except ImportError:
        _stub: Any = types.ModuleType("expecttest")
        _stub.TestCase = unittest.TestCase
        sys.modules["expecttest"] = _stub

import cnncost
from cnncost.errors import DataDependentError, InputError
from cnncost.frontends.torch import Training, record
from cnncost.graph import Graph
from cnncost.ops import cost_of
from cnncost.passes.receptive_field import receptive_fields

torch.set_num_threads(1)
SECONDS = 30
Outcome = tuple[str, str]


@dataclass
class Case:
    """A sample: a module and its inputs, anew each time, and how to analyze it."""

    make: Callable[[], tuple[nn.Module, tuple[Any, ...], dict[str, Any]]]
    how: dict[str, Any]


@dataclass
class Entry:
    """An op, and its samples."""

    name: str
    cases: Callable[[], Iterator[Case]]


class Do(nn.Module):
    """A function of tensors as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


# ---- the tables


def _leave_torch_as_it_was() -> None:
    """When they are imported, torch's tests lock the flags of its backends, for good and for all tests of ours.

    Samples also ask which of torch's own tests is running, by a walk through all frames that takes a second in pytest.
    """
    torch.backends.disable_global_flags = lambda: None
    from torch.testing._internal import common_utils
    from torch.testing._internal.opinfo import core

    common_utils.extract_test_fn = core.extract_test_fn = lambda: None


def entries(table: str) -> list[Entry]:
    """The ops of a table."""
    _leave_torch_as_it_was()
    from torch.testing._internal.common_methods_invocations import op_db

    if table == "optimizers":
        return _optimizers()
    if table.startswith("modules"):
        from torch.testing._internal.common_modules import module_db

        return [Entry(info.name, partial(_module_cases, info, "training" in table)) for info in module_db]
    dtype = {"bfloat16": torch.bfloat16, "int64": torch.int64, "complex64": torch.complex64}.get(table, torch.float32)
    if table == "higher-order ops":
        from torch.testing._internal.hop_db import hop_db as db
    elif table == "custom ops":
        from torch.testing._internal.custom_op_db import custom_op_db as db
    elif table == "autograd functions":
        from torch.testing._internal.autograd_function_db import autograd_function_db as db
    else:
        db = op_db
    ops = [op for op in db if dtype in op.dtypes]
    if table == "in place":
        ops = [op for op in ops if op.get_inplace() is not None]
    if table == "out":
        ops = [op for op in ops if op.supports_out]
    if table == "training":
        ops = [op for op in ops if op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")]
    return [Entry(op.full_name, partial(_op_cases, op, table, dtype)) for op in ops]


def _op_cases(op: Any, table: str, dtype: torch.dtype) -> Iterator[Case]:
    trains = table == "training"
    how: dict[str, Any] = {"training": {"training": True, "loss": _total}, "real": {"trace": "real"}}.get(table, {})
    function = op.get_inplace() if table == "in place" else op.op
    for sample in op.sample_inputs("cpu", dtype, requires_grad=trains):
        if table == "in place" and (getattr(sample, "broadcasts_input", False) or not torch.is_tensor(sample.input)):
            continue
        yield Case(partial(_made, function, sample, table), how)


def _made(function: Callable[..., Any], sample: Any, table: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    leaves, tree = tree_flatten((sample.input, tuple(sample.args), dict(sample.kwargs)))
    places = [i for i, leaf in enumerate(leaves) if torch.is_tensor(leaf)]
    others = [None if i in places else leaf for i, leaf in enumerate(leaves)]
    outs: Any = None
    if table == "out":
        outs = function(sample.input, *sample.args, **sample.kwargs)

    def forward(*tensors: torch.Tensor) -> Any:
        all_leaves = list(others)
        for place, tensor in zip(places, tensors, strict=True):
            all_leaves[place] = tensor
        first, args, kwargs = tree_unflatten(all_leaves, tree)
        if table == "in place":
            first = first.clone()
        if table == "out":
            flat, of_outs = tree_flatten(outs)
            made = [torch.empty(0, dtype=out.dtype) for out in flat]
            kwargs = {**kwargs, "out": tree_unflatten(made, of_outs)}
            kwargs.pop("device", None)  # the same as that of the tensor, which says it
        return function(first, *args, **kwargs)

    tensors = tuple(leaves[i].detach().clone().requires_grad_(leaves[i].requires_grad) if leaves[i].layout is
                    torch.strided else leaves[i] for i in places)  # fmt: skip
    return Do(forward), tensors, {}


def _module_cases(info: Any, training: bool) -> Iterator[Case]:
    how: dict[str, Any] = {"training": True, "loss": _total} if training else {}
    inputs = info.module_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=training, training=training
    )  # fmt: skip
    for each in inputs:
        yield Case(partial(_module, info, each, training), how)


def _module(info: Any, each: Any, training: bool) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    given = each.constructor_input
    torch.manual_seed(0)
    module = info.module_cls(*given.args, **given.kwargs)
    module.train(training)
    call = each.forward_input
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # as the message asks
        module(*deepcopy_of(call.args), **dict(zip(call.kwargs, deepcopy_of(call.kwargs.values()), strict=True)))
    return module, tuple(deepcopy_of(call.args)), dict(zip(call.kwargs, deepcopy_of(call.kwargs.values()), strict=True))


def deepcopy_of(values: Any) -> list[Any]:
    """Inputs that are nobody else's."""
    return [v.detach().clone().requires_grad_(v.requires_grad) if torch.is_tensor(v) else deepcopy(v) for v in values]


def _total(result: Any) -> torch.Tensor:
    parts = [t for t in tree_leaves(result) if torch.is_tensor(t) and t.requires_grad]
    return sum((t.abs().sum() if t.is_complex() else t.sum()) for t in parts)  # type: ignore[return-value]


def _optimizers() -> list[Entry]:
    from torch.testing._internal.common_optimizers import optim_db

    def cases(info: Any) -> Iterator[Case]:
        for given in info.optim_inputs_func("cpu"):
            kwargs = {k: v for k, v in given.kwargs.items() if k not in {"capturable", "fused"}}
            if info.only_supports_sparse_grads or info.step_requires_closure or kwargs.get("differentiable"):
                continue
            optimizer = partial(info.optim_cls, **({"lr": 0.01} | kwargs))
            how = {"training": True, "optimizer": optimizer}
            bias = info.optim_cls is not getattr(torch.optim, "Muon", None)  # it is for matrices alone
            yield Case(partial(_linear, bias), how)

    return [Entry(info.optim_cls.__name__, partial(cases, info)) for info in optim_db]


def _linear(bias: bool) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    return nn.Linear(8, 4, bias=bias), (torch.randn(2, 8),), {}


# ---- one sample


def judged(entry: Entry, most: int) -> Iterator[Outcome]:
    """What comes of an op's samples. Those that torch itself can't run are left out."""
    torch.manual_seed(0)
    try:
        cases = list(islice(_seeded(entry.cases()), most))
    except Exception as error:  # noqa: BLE001  # the table's own, on this machine
        print(f"{entry.name}: no samples: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return
    for case in cases:
        try:
            with _in_time():
                truth = _real(case)
        except (Exception, SystemExit):  # noqa: BLE001, S112  # torch itself has no answer to compare with
            continue
        try:
            with _in_time():
                outcome = _judge(case, truth)
        except TimeoutError:
            outcome = ("error", f"longer than {SECONDS} s")
        if outcome[0] != "right":
            print(f"{outcome[0]:8} {entry.name}: {outcome[1]}", file=sys.stderr)
        yield outcome


def _seeded(cases: Iterator[Case]) -> Iterator[Case]:
    yield from cases


def _real(case: Case) -> tuple[list[tuple[tuple[int, ...], str]], int]:
    """Shapes and dtypes of all outputs of a real run, and the multiply-accumulates that torch counts in it."""
    model, args, kwargs = case.make()
    training = bool(case.how.get("training"))
    torch.manual_seed(0)
    counting = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _of_gradients})
    with torch.set_grad_enabled(training), counting as counter:
        result = model(*args, **kwargs)
        if result is NotImplemented:  # a higher-order op that the counter can't follow
            with _disable_current_modes():
                result = model(*args, **kwargs)
        kinds = _kinds(result)
        if training and not isinstance(case.how.get("optimizer"), partial):
            _total(result).backward()
    return kinds, counter.get_total_flops() // 2


def _of_gradients(
    grad: Any, x: Any, w: Any, _bias: Any, _stride: Any, _padding: Any, _dilation: Any, transposed: bool,
    _output_padding: Any, _groups: int, wanted: tuple[bool, bool, bool], out_shape: Any = None,
) -> int:  # fmt: skip
    """2 × MACs, of shapes: each gradient has one product for each of forward's.

    Torch's own formula (`conv_backward_flop`) takes the weight's gradient for one of a convolution without groups.
    """
    del out_shape
    return 2 * (wanted[0] + wanted[1]) * prod(x if transposed else grad) * prod(w[1:])


def _kinds(result: Any) -> list[tuple[tuple[int, ...], str]]:
    tensors = [t for t in tree_leaves(result) if torch.is_tensor(t)]
    return [(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in tensors]


def _judge(case: Case, truth: tuple[list[tuple[tuple[int, ...], str]], int]) -> Outcome:
    kinds, macs = truth
    model, args, kwargs = case.make()
    before = [t.detach().clone() for t in args if torch.is_tensor(t) and t.layout is torch.strided]
    try:
        report = _analyzed(model, args, kwargs, case.how)
        _walk(report.graph)
    except cnncost.CnncostError as error:
        for_data = isinstance(error, DataDependentError) or (isinstance(error, InputError) and _ON_VALUES in str(error))
        return _refused(case, error) if for_data else ("error", _reason(error))
    except (Exception, SystemExit) as error:
        if isinstance(error, TimeoutError):
            raise
        return "error", f"internal: {_reason(error)}"
    after = [t.detach() for t in args if torch.is_tensor(t) and t.layout is torch.strided]
    if [t.shape for t in before] != [t.shape for t in after] or not all(
        torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in zip(before, after, strict=True)
    ):
        return "wrong", "an input was changed"
    graph = report.graph
    got = [(graph.values[i].shape, graph.values[i].dtype) for i in graph.outputs]
    if got != kinds:
        return "wrong", f"outputs {_short(got)}; real: {_short(kinds)}"
    phases = report.phases
    totals = [(row.macs, row.flops) for row in phases] or [(report.totals.macs, report.totals.flops)]
    if min(n for pair in totals for n in pair) < 0:
        return "wrong", "less than nothing"
    unknown = report.unknown
    counted = sum(pair[0] for pair in totals)
    if counted < macs and not unknown:
        return "wrong", f"{counted} multiply-accumulates; torch counts {macs}"
    if macs and counted not in {macs, macs * 3}:
        whole = _whole(case, graph)
        if not _more(whole) and _as_real(whole) != macs:
            return "wrong", f"{counted} multiply-accumulates; torch counts {macs}"
    return ("unknown", ", ".join(sorted(unknown))) if unknown else ("right", "")


_ON_VALUES = "trace='real'"


def _refused(case: Case, error: cnncost.CnncostError) -> Outcome:
    """Refused for data, if what the message advises works: to run on values."""
    if _ON_VALUES not in str(error):
        return "error", f"no remedy: {_reason(error)}"
    model, args, kwargs = case.make()
    try:
        _analyzed(model, args, kwargs, case.how | {"trace": "real"})
    except Exception as second:  # noqa: BLE001  # whatever it is, the advice does not help
        return "error", f"its remedy fails: {_reason(second)}, after {_reason(error)}"
    return "refused", _reason(error)


def _walk(graph: Graph) -> None:
    """Ask for the receptive field of every call: where it can't be told, that is said, and nothing is raised."""
    fields = receptive_fields(graph)
    for call in range(len(graph.calls)):
        fields.of(call)


def _whole(case: Case, graph: Graph) -> Graph:
    """The graph of all that was counted: a report has that of forward alone."""
    if not case.how.get("training"):
        return graph
    model, args, kwargs = case.make()
    return record(model, _inputs(model, args, kwargs), training=Training(loss=case.how.get("loss")))


def _as_real(graph: Graph) -> int:
    """Multiply-accumulates as torch's counter sees them: one for the four of a product of complex numbers."""
    total = 0
    for node in graph.nodes:
        cost = cost_of(node.spec)
        macs = cost.macs if cost is not None else 0
        total += macs // 4 if any(t.complex for t in node.spec.outputs) else macs
    return total


_BESIDE = {
    "bilinear", "trilinear", "matmul", "recurrent", "attention", "attention_backward", "mha", "encoder_layer",
    "deform_conv", "grouped_matmul", "pinv", "linear_cross_entropy",
}  # fmt: skip
"""Kinds that count where torch's counter knows no formula (mv, dot, attention on a CPU), or another form of it."""


def _more(graph: Any) -> bool:
    return any(node.spec.kind in _BESIDE for node in graph.nodes)


def _analyzed(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], how: dict[str, Any]) -> Any:
    inputs = _inputs(model, args, kwargs)
    if how.get("training") or how.get("trace"):
        return cnncost.analyze(model, inputs, **how)
    return cnncost.analyze(record(model, inputs, train=None))


def _inputs(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """As an analysis takes them: by position, or by name."""
    if not (kwargs and args):
        return kwargs or args
    names = [name for name in _parameters(model) if name not in kwargs][: len(args)]
    return dict(zip(names, args, strict=True)) | kwargs


def _parameters(model: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(model.forward).parameters)


def _reason(error: BaseException) -> str:
    """The message, without what is of this sample alone."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    text = re.sub(r"the model \(\w+\) at \S+: |Do: |at \w+\.py:\d+: |; it got .*", "", text)
    return re.sub(r"\d+(x\d+)+|\(\d[\d, ]*\)|\[\d[\d, ]*\]", "…", text)[:160]


def _short(kinds: list[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{dtype}{list(shape)}" for shape, dtype in kinds[:4]) or "none"


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
