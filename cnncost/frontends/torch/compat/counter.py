"""torch's own FLOP counter, imported in silence.

A build for a GPU logs, when the counter is imported, that Triton is missing and its kernels will not be counted (since
2.9). It is missing on Windows. Here the counter counts on meta tensors, which run no Triton kernel.
"""

from __future__ import annotations

import logging


def _nothing(record: logging.LogRecord) -> bool:  # noqa: ARG001  # a filter's argument
    return False


_log = logging.getLogger("torch.utils.flop_counter")
_log.addFilter(_nothing)
try:
    from torch.utils.flop_counter import FlopCounterMode, flop_registry
finally:
    _log.removeFilter(_nothing)

__all__ = ["FlopCounterMode", "flop_registry"]
