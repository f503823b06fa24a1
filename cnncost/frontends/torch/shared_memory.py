"""Refuses what shares a tensor's memory with other libraries and processes: tensors without data have none to share.

None of this reaches the recorder, so that an error which forward catches would not be noted (`Recorder.refuse`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.compat.tensors import SHARING_PLACES, StorageBase
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.patches import Patch

_device_of: Callable[[torch.UntypedStorage], torch.device] = StorageBase.device.__get__


def patches(is_ours: Callable[[], bool], refuse: Callable[[Exception], Exception]) -> list[Patch]:
    """Return patches of what shares memory, for a recording without data.

    Args:
        is_ours: returns whether the caller is the model's code.
        refuse: notes an error that the model's code gets, and returns it.
    """

    def share(original: Callable[..., Any], what: str, shared: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the original on a tensor or storage that has data, or on one of the caller's own."""
        if is_ours() and (is_meta(shared) if isinstance(shared, torch.Tensor) else _device_of(shared) == META):
            raise refuse(DataDependentError(f"{what} reads the values of a tensor"))
        return original(shared, *args, **kwargs)

    def replaced(original: Callable[..., Any], what: str) -> Callable[..., Any]:
        def replacement(shared: Any, *args: Any, **kwargs: Any) -> Any:  # a function, as only these become methods
            return share(original, what, shared, *args, **kwargs)

        return replacement

    why = "forward may catch the error, and torch crashes on some"
    return [Patch(*place, replaced(getattr(*place), what), why) for place, what in SHARING_PLACES.items()]
