"""Autocast as a caller requests it: a device and a dtype."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from cnncost.errors import InputError

_DTYPES = {
    "bf16": torch.bfloat16, "bfloat16": torch.bfloat16,
    "fp16": torch.float16, "float16": torch.float16, "half": torch.float16,
}  # fmt: skip
_DEFAULTS = {"cpu": torch.bfloat16, "cuda": torch.float16}


class Autocast(NamedTuple):
    """Autocast's device, whose op lists determine the casts, and its lower dtype."""

    device: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device}:{str(self.dtype).removeprefix('torch.')}"


def parse(value: Any) -> Autocast | None:
    """Parse `autocast=`: a dtype, `"bf16"` or `"fp16"` (on the CPU), `"cuda:bf16"`, a device alone, or None.

    Raises:
        InputError: no such device or dtype.
    """
    if value is None or isinstance(value, Autocast):
        return value
    text = str(value).removeprefix("torch.").lower()
    device, colon, name = text.rpartition(":")
    if text in _DEFAULTS:
        return Autocast(text, _DEFAULTS[text])
    if name in _DTYPES and (device if colon else "cpu") in _DEFAULTS:
        return Autocast(device or "cpu", _DTYPES[name])
    raise InputError(
        f"autocast: {value!r} is not known; expected bf16 or fp16 for the CPU; a device and a dtype, such as "
        "cuda:bf16; or cpu or cuda alone, for its default dtype"
    )
