"""Whether the torch at hand is one that the front end knows. It is looked at when this module is imported.

The package imports it before anything that an older torch lacks.
"""

from __future__ import annotations

import warnings

import torch

from cnncost import versions
from cnncost.errors import UnsupportedTorchError, UntestedTorchWarning


def check(version: str) -> None:
    """Refuse a torch that is too old, and warn of one that is newer than what is proved.

    Args:
        version: as torch says it. One that can't be read, of a build of one's own, is taken for a known one.

    Raises:
        UnsupportedTorchError: it is older than the oldest that is supported.
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
        f"torch {version} is newer than {versions.text(versions.NEWEST)}, the newest on which cnncost's figures are "
        "proved; what this torch does otherwise may be missing from them",
        UntestedTorchWarning,
        stacklevel=2,
    )


check(torch.__version__)
