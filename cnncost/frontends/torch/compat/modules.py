"""How a module is called, its tables, classes of modules, and functions that modules call."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import nn

CALL_PLACE = (nn.Module, "_call_impl")
"""What `nn.Module.__call__` calls unless the module is compiled in place. Replacing it reaches all modules at once;
replacing `__call__` itself would have Python walk over all loaded module classes."""

PARAMETERS, BUFFERS, MODULES = "_parameters", "_buffers", "_modules"
NOT_SAVED = "_non_persistent_buffers_set"
COMPILED = "_compiled_call_impl"
"""Names in a module's `__dict__`: its tables of parameters, buffers and submodules by name; names of buffers that
`state_dict` leaves out; the compiled call of `module.compile()`, else None. Public methods (`named_parameters`) walk
over the tree, and skip a tensor that they have already returned."""

tables_of: Callable[[nn.Module], tuple[dict[str, Any], dict[str, Any]]] = attrgetter(PARAMETERS, BUFFERS)
"""A module's own parameters and buffers by name."""

children_of: Callable[[nn.Module], dict[str, Any]] = attrgetter(MODULES)
"""A module's own submodules by name; some are None."""

SCRIPTED: frozenset[type] = frozenset(
    {torch.jit.RecursiveScriptModule, torch.jit.TopLevelTracedModule, torch.jit.TracedModule}  # type: ignore[attr-defined]
)
"""Classes of scripted and traced modules, whose tables are views of C++ objects."""

WITHIN_COMPILED = "_orig_mod"
"""Attribute of what `torch.compile(module)` returns: the module."""

PACKED = "_packed_params"
"""Attribute of a quantized layer: its weight and bias, in one object of C++."""

Convolution: Any = nn.modules.conv._ConvNd
Norm: Any = nn.modules.batchnorm._NormBase
"""The base classes of all convolutions; of batch norms and instance norms."""

CFUNCTIONS: Any = torch._VF
"""Functions in C++ that recurrent modules call: `lstm`, `gru`, `rnn_tanh`, `rnn_relu`."""

PAD_PACKED_PLACE = (torch._VF, "_pad_packed_sequence")
"""What `pad_packed_sequence` calls; it writes lengths to a tensor by its pointer."""

INITIAL_FILL_PLACES = tuple(
    (nn.init, name)
    for name in "_no_grad_uniform_ _no_grad_normal_ _no_grad_trunc_normal_ _no_grad_fill_ _no_grad_zero_".split()
    if hasattr(nn.init, name)
)
"""What functions of `torch.nn.init` call last: each fills a tensor with autograd off."""

any_global_hook: Callable[[], bool] = nn.modules.module._has_any_global_hook
"""Whether a hook is registered for all modules."""


def any_registration_hook() -> bool:
    """True if there is a global hook for the registration of parameters, buffers or modules."""
    return any(map(bool, _REGISTRATIONS))


_REGISTRATIONS = [
    getattr(nn.modules.module, f"_global_{what}_registration_hooks") for what in ("parameter", "buffer", "module")
]
