"""Private modules of torch, by name: they are looked for among loaded modules and in frames, and imported seldom."""

from __future__ import annotations

import sys

COMPILER = ("sympy", "torch.fx.experimental.symbolic_shapes", "torch._dynamo", "torch._inductor")
"""What the import of torch's compiler begins with, which takes seconds: each imports those before it."""

INTERNAL = "torch._"
"""What the names of modules begin with that torch keeps to itself: meta kernels, decompositions, the compiler."""

BETWEEN = ("torch.utils._device", "torch.overrides", "torch.utils._python_dispatch")
"""Modules whose frames stand between a torch function and a mode that sees it."""

TRANSFORMS = "torch._functorch.eager_transforms"
"""The module of `torch.func`, imported when that is first used."""

EXPORT_ARCHIVE = "torch.export.pt2_archive._package"
"""Creates, when imported, the loggers to which loading an exported program reports; torch 2.9 to 2.15 import it then
anyway."""


def is_compiler_loaded() -> bool:
    """True if the compiler has been imported; before, nothing can have been compiled."""
    return COMPILER[2] in sys.modules


IN_C, DECORATORS = "torch._C", "torch.utils._contextlib"
"""Where functions in C that ask for settings say that they are, and the functions that decorators such as
`torch.no_grad()` make."""
