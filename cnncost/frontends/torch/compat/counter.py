"""torch's own FLOP counter, imported without its warning.

In CUDA builds without Triton (on Windows, for example), importing the counter logs since torch 2.9 that Triton kernels
will not be counted. cnncost counts on meta tensors, which run no Triton kernels.
"""

from __future__ import annotations

import logging


def _drop(record: logging.LogRecord) -> bool:  # noqa: ARG001  # a filter's argument
    return False


_log = logging.getLogger("torch.utils.flop_counter")
_log.addFilter(_drop)
try:
    from torch.utils.flop_counter import FlopCounterMode, flop_registry
finally:
    _log.removeFilter(_drop)

__all__ = ["FlopCounterMode", "flop_registry"]
