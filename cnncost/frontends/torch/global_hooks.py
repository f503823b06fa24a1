"""Hooks that are registered for all modules: forward runs copies of those whose closures may hold the model."""

from __future__ import annotations

from typing import Any

from cnncost.frontends.torch.compat.modules import GLOBAL_HOOK_PLACES
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.patches import Patch


def global_hooks() -> list[Any]:
    """All of them; nearly always none."""
    return [hook for owner, name in GLOBAL_HOOK_PLACES for hook in getattr(owner, name).values() if callable(hook)]


def patches(copier: Copier | None) -> list[Patch]:
    """Replace their tables by tables of copies, where the copier has made any."""
    found = []
    for owner, name in GLOBAL_HOOK_PLACES:
        table = getattr(owner, name)
        if table and copier is not None:
            copies = type(table)((key, copier.value(hook)) for key, hook in table.items())
            found.append(Patch(owner, name, copies, "a hook may compare with the module that runs, which is a copy"))
    return found


__all__ = ["global_hooks", "patches"]
