"""Imports while forward runs. The imported module outlives the recording and must not be part of it."""

from __future__ import annotations

import sys
from typing import Any

from cnncost.frontends.torch.caller import Caller
from cnncost.frontends.torch.compat.compilation import stand_in
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.patches import suspended


def outside_recording(original: Any, caller: Caller) -> Any:
    """Wrap `__import__` or `import_module` to run outside the recording: without its modes and patches."""

    def import_outside(name: str, *args: Any, **kwargs: Any) -> Any:
        if (substitute := stand_in(name, *args, **kwargs)) is not None:
            return substitute
        from_statement = args[2:]  # without globals and locals: `fromlist` and `level`
        if caller.importing or _is_loaded(name, *from_statement, **kwargs) or not caller.is_ours():
            return original(name, *args, **kwargs)
        caller.importing = True
        try:
            with without_modes(), suspended():
                return original(name, *args, **kwargs)
        finally:
            caller.importing = False

    return import_outside


def _is_loaded(name: str, fromlist: Any = (), level: int = 0, **_: Any) -> bool:
    """True if all that an import statement names is loaded, judging by `sys.modules`."""
    module = sys.modules.get(name)
    return module is not None and not level and vars(module).keys() >= set(fromlist or ())
