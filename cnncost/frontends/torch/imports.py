"""Imports while forward runs: what a module creates or binds at import outlives it, and is no part of a recording."""

from __future__ import annotations

import sys
from typing import Any

from cnncost.frontends.torch.caller import Caller
from cnncost.frontends.torch.compat.compilation import stand_in
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.patches import given_back


def apart(original: Any, caller: Caller) -> Any:
    """A function that imports, so that it runs outside the recording."""

    def imported(name: str, *args: Any, **kwargs: Any) -> Any:
        if (found := stand_in(name, *args, **kwargs)) is not None:
            return found
        if caller.importing or _is_loaded(name, *args[2:], **kwargs) or not caller.is_ours():
            return original(name, *args, **kwargs)
        caller.importing = True
        try:
            with without_modes(), given_back():
                return original(name, *args, **kwargs)
        finally:
            caller.importing = False

    return imported


def _is_loaded(name: str, fromlist: Any = (), level: int = 0, **_: Any) -> bool:
    """True if everything that an import statement names is loaded, judging by `sys.modules`."""
    module = sys.modules.get(name)
    return module is not None and not level and vars(module).keys() >= set(fromlist or ())
