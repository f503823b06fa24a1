"""Checks, on import, whether the installed torch version is supported.

The package imports this module before anything that an older torch lacks.
"""

from __future__ import annotations

import warnings

import torch

from cnncost import versions
from cnncost.errors import UnsupportedTorchError, UntestedTorchWarning


def check(version: str) -> None:
    """Reject a torch that is too old, and warn about one newer than the tested versions.

    Args:
        version: `torch.__version__`. One that can't be parsed (a custom build) is accepted.

    Raises:
        UnsupportedTorchError: it is older than the oldest supported version.
    """
    found = versions.numbers(version)
    if found is None or versions.OLDEST <= found <= versions.NEWEST:
        return
    if found < versions.OLDEST:
        raise UnsupportedTorchError(
            f"torch {version} is too old: cnncost needs torch {versions.text(versions.OLDEST)} or newer; install one, "
            f"as with: pip install 'torch>={versions.text(versions.OLDEST)}'"
        )
    warnings.warn(
        f"torch {version} is newer than {versions.text(versions.NEWEST)}, the newest that cnncost is tested with; its "
        "figures may be wrong where torch's behavior has changed since",
        UntestedTorchWarning,
        stacklevel=2,
    )


check(torch.__version__)
