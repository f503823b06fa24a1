"""Private parts of modules: their call, tables of parameters and submodules, classes, and functions that they call."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import nn

CALL_PLACE = (nn.Module, "_call_impl")
"""The method that `nn.Module.__call__` calls, unless `module.compile()` was used. Its code affects all modules.
Replacing `__call__` itself would make Python update the slots of every loaded subclass."""

PARAMETERS, BUFFERS, MODULES = "_parameters", "_buffers", "_modules"
"""Keys in a module's `__dict__`: dicts of its own parameters, buffers and submodules by name. The public methods
(`named_parameters`) walk the whole tree and yield each tensor once."""
NOT_SAVED = "_non_persistent_buffers_set"
"""Key in a module's `__dict__`: the names of the buffers that `state_dict` leaves out."""
COMPILED = "_compiled_call_impl"
"""Key in a module's `__dict__`: the compiled call made by `module.compile()`, else None."""

tables_of: Callable[[nn.Module], tuple[dict[str, Any], dict[str, Any]]] = attrgetter(PARAMETERS, BUFFERS)
"""A module's own parameters and buffers by name."""

children_of: Callable[[nn.Module], dict[str, Any]] = attrgetter(MODULES)
"""A module's own submodules by name; some are None."""

INNER_SCRIPT = "_actual_script_module"
"""Key in the `__dict__` of a traced module, or of an instance of a ScriptModule subclass: the script that it wraps."""


def is_scripted(kind: type) -> bool:
    """True for classes of scripted and traced modules, whose tables are views of C++ objects."""
    return issubclass(kind, torch.jit.ScriptModule)


object_of: Callable[[nn.Module], Any] = attrgetter("_c")
"""The C++ object of a script."""


def script_children(script: Any) -> list[tuple[str, Any]]:
    """Return the C++ objects of a script's submodules by name, from the script's own C++ object."""
    return list(torch._C.ModuleDict(script).items())


def script_attributes(script: Any) -> list[str]:
    """Return the names of everything else that the C++ object of a script holds: tensors, numbers, lists."""
    tables: tuple[Any, ...] = (torch._C.ParameterDict(script), torch._C.BufferDict(script))
    kind: Any = torch._C.ConcreteModuleType.from_jit_type(script._type())
    return list(dict.fromkeys([*[name for table in tables for name, _ in table.items()], *kind.get_attributes()]))


def wrapped_script(script: Any) -> nn.Module:
    """Return a module for the C++ object of a script."""
    module: nn.Module = torch.jit._recursive.wrap_cpp_module(script)
    return module


WITHIN_COMPILED = "_orig_mod"
"""Attribute of the wrapper that `torch.compile(module)` returns: the original module."""

PACKED = "_packed_params"
"""Attribute of a quantized layer: a C++ object that holds its weight and bias."""


def kind_of_object(value: Any) -> str:
    """Return the class of a C++ object, such as `quantized.LinearPackedParamsBase`; empty if it is none of torch's."""
    return str(value._type().qualified_name()).partition("__torch__.torch.classes.")[2]


Convolution: Any = nn.modules.conv._ConvNd
"""The base class of all convolutions."""
Norm: Any = nn.modules.batchnorm._NormBase
"""The base class of batch norms and instance norms."""

CFUNCTIONS: Any = torch._VF
"""The C++ functions that recurrent modules call: `lstm`, `gru`, `rnn_tanh`, `rnn_relu`."""

PAD_PACKED_PLACE = (torch._VF, "_pad_packed_sequence")
"""The function that `pad_packed_sequence` calls. It writes the lengths through a data pointer, not by an op."""

TRACING_PLACES = tuple(
    (owner, name)
    for owner, name in [
        (torch._C, "_create_function_from_trace"), (torch._C, "_create_function_from_trace_with_dict"),
        (torch._C, "_create_graph_by_tracing"), (torch.jit._trace, "make_module"),
    ]
    if hasattr(owner, name)
)  # fmt: skip
"""The functions by which `torch.jit.trace` and `torch.onnx` trace functions and modules."""

INITIAL_FILL_PLACES = tuple(
    (nn.init, name)
    for name in "_no_grad_uniform_ _no_grad_normal_ _no_grad_trunc_normal_ _no_grad_fill_ _no_grad_zero_".split()
    if hasattr(nn.init, name)
)
"""The functions by which `torch.nn.init` finally fills a tensor, under `no_grad`."""

has_one_width: Callable[[nn.MultiheadAttention], bool] = attrgetter("_qkv_same_embed_dim")
"""Whether queries, keys and values have the same width; then one packed weight projects all three."""

FORWARD_HOOKS: Callable[[nn.Module], tuple[Any, Any]] = attrgetter("_forward_hooks", "_forward_pre_hooks")
"""A module's own hooks around forward, by handle."""

any_global_hook: Callable[[], bool] = nn.modules.module._has_any_global_hook
"""Whether a global module hook (one that runs for every module) is registered."""

GLOBAL_HOOK_PLACES = tuple(
    (nn.modules.module, name) for name in vars(nn.modules.module) if name.startswith("_global_") and "hooks" in name
)
"""The tables of hooks that run for all modules, by handle."""


def any_registration_hook() -> bool:
    """True if a global hook is registered that runs when a parameter, buffer or submodule is registered."""
    return any(map(bool, _REGISTRATIONS))


_REGISTRATIONS = [
    getattr(nn.modules.module, f"_global_{kind}_registration_hooks") for kind in ("parameter", "buffer", "module")
]
