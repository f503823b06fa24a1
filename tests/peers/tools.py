"""The other tools, each behind one function: MACs of a model on positional inputs, in the tool's own counting."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

Count = Callable[[nn.Module, tuple[Any, ...]], int]


class Tool(NamedTuple):
    """A tool.

    Attributes:
        package: to import.
        distribution: to ask for the version.
        count: the MACs that it reports.
        counts: what is in that number, in words.
    """

    name: str
    package: str
    distribution: str
    count: Count
    counts: str


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What tools print and warn is not shown."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _cnncost(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    import cnncost

    report = cnncost.analyze(model, inputs)
    assert not report.unknown, report.unknown
    return report.totals.macs


def _fvcore(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from fvcore.nn import FlopCountAnalysis

    return int(FlopCountAnalysis(model, inputs).total())


def _counter(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return int(counter.get_total_flops() // 2)


def _torchinfo(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torchinfo import summary

    return int(summary(model, input_data=list(inputs), verbose=0).total_mult_adds)


def _ptflops(backend: str) -> Count:
    def count(model: nn.Module, inputs: tuple[Any, ...]) -> int:
        from ptflops import get_model_complexity_info

        names = list(inspect.signature(model.forward).parameters)
        given = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=False))  # as it takes them
        macs, _ = get_model_complexity_info(
            model, (1,), as_strings=False, print_per_layer_stat=False, backend=backend,
            input_constructor=lambda _: given,
        )  # fmt: skip
        if macs is None:
            raise RuntimeError("it returns None")
        return int(macs)

    return count


def _thop(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from thop import profile

    return int(profile(model, inputs=inputs, verbose=False)[0])


def _torchprofile(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torchprofile import profile_macs

    return int(profile_macs(model, inputs))


def _torchscan(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from torchscan import crawl_module

    total = crawl_module(model, args=inputs)["operator_flops"]["total"]  # of what it has formulas for
    return int(total["known_value"] or 0) // 2


def _calflops(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(
        model, args=list(inputs), output_as_string=False, print_results=False, print_detailed=False
    )
    return int(macs)


TOOLS = (
    Tool("cnncost", "cnncost", "cnncost", _cnncost, "multiply-accumulates of every op; all else is in its FLOPs"),
    Tool("fvcore", "fvcore", "fvcore", _fvcore, "listed ops of a jit trace; norms and resizing in the same number"),
    Tool("FlopCounterMode", "torch", "torch", _counter, "products and convolutions that the dispatcher sees, halved"),
    Tool("torchinfo", "torchinfo", "torchinfo", _torchinfo, "modules with weights, by their output; biases included"),
    Tool("ptflops", "ptflops", "ptflops", _ptflops("pytorch"), "modules and functions; biases and norms, too"),
    Tool("ptflops aten", "ptflops", "ptflops", _ptflops("aten"), "four aten ops; biases included"),
    Tool("thop", "thop", "ultralytics-thop", _thop, "modules by rules; norms and pooling in the same number"),
    Tool("torchprofile", "torchprofile", "torchprofile", _torchprofile, "ops of a jit trace; norms in the same number"),
    Tool("torch-scan", "torchscan", "torchscan", _torchscan, "torch's counter during a forward with hooks, halved"),
    Tool("calflops", "calflops", "calflops", _calflops, "modules and patched functions"),
)  # fmt: skip


def present() -> tuple[Tool, ...]:
    """Those that are installed."""
    return tuple(tool for tool in TOOLS if importlib.util.find_spec(tool.package) is not None)


def counted(tool: Tool, model: nn.Module, inputs: tuple[Any, ...]) -> int | str:
    """What a tool counts, or the kind of error with which it fails. In a process of its own, forked from this one.

    Some tools replace functions of torch's and, when they fail, leave the replacements: the next tool would count
    them.
    """
    found: int | str = forked(lambda: tool.count(model, inputs))
    return found


def forked(work: Callable[[], Any]) -> Any:
    """What a function returns in a forked process (as JSON), or the name of the error that it raises."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            with quiet():
                said = json.dumps(work())
        except BaseException as error:  # noqa: BLE001  # its failure is the finding
            said = json.dumps(type(error).__name__)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else "its process died"
