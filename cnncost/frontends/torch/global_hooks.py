"""Global module hooks: forward runs copies of them, because their closures may refer to the model."""

from __future__ import annotations

from typing import Any

from cnncost.frontends.torch.compat.modules import GLOBAL_HOOK_PLACES
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.patches import Patch


def global_hooks() -> list[Any]:
    """Return all global module hooks; usually there are none."""
    return [hook for owner, name in GLOBAL_HOOK_PLACES for hook in getattr(owner, name).values() if callable(hook)]


def patches(copier: Copier | None) -> list[Patch]:
    """Return patches that replace the tables of global hooks by tables of copies."""
    replaced = []
    for owner, name in GLOBAL_HOOK_PLACES:
        table = getattr(owner, name)
        if table and copier is not None:
            copies = type(table)((key, copier.value(hook)) for key, hook in table.items())
            replaced.append(Patch(owner, name, copies, "a hook may compare modules with the running copies"))
    return replaced


__all__ = ["global_hooks", "patches"]
