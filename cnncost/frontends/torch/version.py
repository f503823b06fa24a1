"""Checks, on import, whether the installed torch version is supported.

The package imports this module before any module that needs features of newer versions.
"""

from __future__ import annotations

import warnings

import torch

from cnncost import versions
from cnncost.errors import UnsupportedTorchError, UntestedTorchWarning


def check(version: str) -> None:
    """Reject a version of torch that is too old, and warn about one that is newer than the tested versions.

    Args:
        version: `torch.__version__`. A version that can't be parsed (of a custom build) is accepted.

    Raises:
        UnsupportedTorchError: the version is older than the oldest supported one.
    """
    found = versions.numbers(version)
    if found is None or versions.OLDEST <= found <= versions.NEWEST:
        return
    if found < versions.OLDEST:
        raise UnsupportedTorchError(
            f"torch {version} is too old: cnncost needs torch {versions.text(versions.OLDEST)} or newer; install it "
            f"with: pip install 'torch>={versions.text(versions.OLDEST)}'"
        )
    warnings.warn(
        f"torch {version} is newer than {versions.text(versions.NEWEST)}, the newest that cnncost is tested with; its "
        "figures may be wrong where torch's behavior has changed since then",
        UntestedTorchWarning,
        stacklevel=2,
    )


check(torch.__version__)
