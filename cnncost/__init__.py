"""cnncost: the true cost of neural networks, by static analysis.

The public names are imported on first use, so that `import cnncost` imports neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnncost.versions import __version__

if TYPE_CHECKING:
    from cnncost.analysis import analyze
    from cnncost.decoding import serving
    from cnncost.errors import CnncostError
    from cnncost.frontends.torch import RecordOptions, Training
    from cnncost.frontends.torch.inputs import arguments, literal
    from cnncost.frontends.torch.placement import placement
    from cnncost.frontends.torch.world import world
    from cnncost.functions import check, compare, diff, max_batch, roofline
    from cnncost.graph import Graph, OpSpec
    from cnncost.laws import formula
    from cnncost.meter import Meter
    from cnncost.opaque import custom, custom_rules, forget_rule, function_rule, module_rule
    from cnncost.ops import Cost, cost, flops, macs, rule
    from cnncost.ops.reach import reach
    from cnncost.passes.receptive_field import GLOBAL, UNKNOWN
    from cnncost.pipeline import pipelined
    from cnncost.recorded import record
    from cnncost.report.model import Report
    from cnncost.session import clear_caches
    from cnncost.sources.parallel import split
    from cnncost.sparsity import effective_macs
    from cnncost.sweeps.api import sweep


_HOME = {  # the module that defines each public name
    "analyze": "cnncost.analysis",
    "custom": "cnncost.opaque",
    "custom_rules": "cnncost.opaque",
    "forget_rule": "cnncost.opaque",
    "function_rule": "cnncost.opaque",
    "module_rule": "cnncost.opaque",
    "CnncostError": "cnncost.errors",
    "RecordOptions": "cnncost.frontends.torch",
    "Training": "cnncost.frontends.torch",
    "record": "cnncost.recorded",
    "arguments": "cnncost.frontends.torch.inputs",
    "literal": "cnncost.frontends.torch.inputs",
    "pipelined": "cnncost.pipeline",
    "placement": "cnncost.frontends.torch.placement",
    "world": "cnncost.frontends.torch.world",
    "formula": "cnncost.laws",
    "serving": "cnncost.decoding",
    "Graph": "cnncost.graph",
    "OpSpec": "cnncost.graph",
    "Cost": "cnncost.ops",
    "cost": "cnncost.ops",
    "flops": "cnncost.ops",
    "macs": "cnncost.ops",
    "rule": "cnncost.ops",
    "reach": "cnncost.ops.reach",
    "GLOBAL": "cnncost.passes.receptive_field",
    "UNKNOWN": "cnncost.passes.receptive_field",
    "Meter": "cnncost.meter",
    "Report": "cnncost.report.model",
    "clear_caches": "cnncost.session",
    "split": "cnncost.sources.parallel",
    "effective_macs": "cnncost.sparsity",
    "sweep": "cnncost.sweeps.api",
    **dict.fromkeys(("check", "compare", "diff", "max_batch", "roofline"), "cnncost.functions"),
}

_MODULES = ("meter",)
"""Submodules that `dir(cnncost)` lists; all can be used after `import cnncost` alone (`__getattr__`)."""

__all__ = [
    "GLOBAL", "UNKNOWN", "CnncostError", "Cost", "Graph", "Meter", "OpSpec", "RecordOptions", "Report", "Training",
    "__version__", "analyze", "arguments", "check", "clear_caches", "compare", "cost", "custom", "custom_rules",
    "diff", "effective_macs", "flops", "forget_rule", "formula", "function_rule", "literal", "macs", "max_batch",
    "module_rule", "pipelined", "placement", "reach", "record", "roofline", "rule", "serving", "split", "sweep",
    "world",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        # stored as a global, so that this function is not called for the name again
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value
    if not name.startswith("_"):
        try:
            return import_module(f"cnncost.{name}")  # for cnncost.meter.lightning, after `import cnncost` alone
        except ModuleNotFoundError as error:
            if error.name != f"cnncost.{name}":
                raise
    raise AttributeError(f"module 'cnncost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
