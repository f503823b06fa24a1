"""Names of torch's private modules. Most are only compared with loaded modules and with frames, not imported."""

from __future__ import annotations

import sys

_DYNAMO = "torch._dynamo"
COMPILER = ("sympy", "torch.fx.experimental.symbolic_shapes", _DYNAMO, "torch._inductor")
"""The compiler and the modules that it needs; each imports those before it. Importing them takes seconds."""

INTERNAL = "torch._"
"""Prefix of torch's private modules: meta kernels, decompositions, the compiler."""

BETWEEN = ("torch.utils._device", "torch.overrides", "torch.utils._python_dispatch")
"""Modules whose frames are on the stack between the caller of a torch function and a mode that handles it."""

TRANSFORMS = "torch._functorch.eager_transforms"
"""The module that implements `torch.func`."""

EXPORT_ARCHIVE = "torch.export.pt2_archive._package"
"""The module whose import creates the loggers that `torch.export.load` logs to. `load` imports it anyway."""


def is_compiler_loaded() -> bool:
    """True if the compiler has been imported; before, nothing can have been compiled."""
    return _DYNAMO in sys.modules


IN_C = "torch._C"
"""`__module__` of C functions that return a setting."""
DECORATORS = "torch.utils._contextlib"
"""`__module__` of the wrappers that decorators such as `torch.no_grad()` return."""
