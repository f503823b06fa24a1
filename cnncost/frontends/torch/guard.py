"""Restore torch's global state after a recording, even if forward raises: random state, modes, defaults."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from cnncost.frontends.torch.compat.dispatch import (
    BelowAutograd,
    dispatch_modes,
    function_depth,
    function_modes,
    innermost_suspended,
    pop_function_mode,
    push_function_mode,
)
from cnncost.frontends.torch.compat.interpreter import ENVIRON, environment
from cnncost.frontends.torch.compat.packages import is_compiler_loaded
from cnncost.frontends.torch.compat.settings import (
    default_mode,
    delete_unset_default,
    innermost_device,
    set_default_mode,
    validates_distributions,
)
from cnncost.frontends.torch.entropy import Entropy


class Draws:
    """Detects draws from Python's and numpy's global generators, and reads of the system's random numbers."""

    def __init__(self) -> None:
        self.entropy = Entropy()
        self.mark()

    def mark(self) -> None:
        """Ignore draws made so far."""
        self._python = random.getstate()
        self._numpy = self._numpy_state()
        self.entropy.reads = 0

    def drawn_from(self) -> list[str]:
        """Return the names of the generators that were drawn from since the last `mark`."""
        names = ["Python's random"] if random.getstate() != self._python else []
        if (now := self._numpy_state()) is not None and self._numpy is not None and now != self._numpy:
            names.append("numpy's random")
        if self.entropy.reads:
            names.append("the system's random numbers")
        return names

    @staticmethod
    def _numpy_state() -> tuple[Any, ...] | None:
        numpy = sys.modules.get("numpy.random")
        if numpy is None:
            return None
        _, keys, *rest = numpy.get_state()
        return (keys.tobytes(), *rest)


@contextmanager
def same_random_state() -> Iterator[Draws]:
    """Seed the generators during a recording, so that it is reproducible, and restore their states."""
    state, python = torch.get_rng_state(), random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    numpy = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    try:
        torch.default_generator.manual_seed(0)
        random.seed(0)
        if numpy is not None:
            numpy.seed(0)
        yield Draws()
    finally:
        torch.set_rng_state(state)
        random.setstate(python)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if numpy is not None:
            numpy.set_state(numpy_state)


@contextmanager
def hidden_from(kind: type) -> Iterator[None]:
    """Hide ops from outer modes of the class `kind`: an analysis called by a recorded forward is not part of it."""
    with ExitStack() as stack:
        modes = dispatch_modes()
        outer = [i for i, mode in enumerate(modes) if isinstance(mode, kind)]
        for _ in modes[outer[0] :] if outer else ():  # modes can only be removed from the top of the stack
            stack.enter_context(innermost_suspended())
        yield


@contextmanager
def same_modes() -> Iterator[None]:
    """Restore the function modes, which include the default device's, on exit.

    Needed if code sets the default device or enters a mode without exiting it: torch pops and pushes modes by their
    position on the stack, and would later push one of ours again.
    """
    before, device = _modes(), innermost_device()
    try:
        yield
    finally:
        if _modes() != before:
            for _ in range(function_depth()):
                pop_function_mode()
            for mode in before[1:]:
                push_function_mode(mode)
            set_default_mode(before[0], device)
        delete_unset_default()


def _modes() -> list[Any]:
    """Return the default device's mode or None, then all active modes."""
    return [default_mode(), *function_modes()]


def _default_device() -> torch.device | None:
    """Return the default device; None if none was set."""
    return None if default_mode() is None else torch.get_default_device()


def _restore_default_device(device: torch.device | None) -> None:
    if _default_device() != device:
        torch.set_default_device(device)
        delete_unset_default()


def settings() -> tuple[dict[Any, Any], str, tuple[bool, ...]]:
    """Return the environment variables, the matmul precision and cuDNN's flags: forward may read or set them."""
    return environment(), torch.get_float32_matmul_precision(), tuple([getattr(_CUDNN, name) for name in _FLAGS])


def _restore_settings(before: tuple[dict[Any, Any], str, tuple[bool, ...]]) -> None:
    now = settings()
    if now == before:
        return
    (variables, precision, flags), environ = before, ENVIRON  # the variables are encoded
    for name in now[0].keys() - variables.keys():
        del environ[environ.decodekey(name)]
    for name, value in variables.items():
        if now[0].get(name) != value:
            environ[environ.decodekey(name)] = environ.decodevalue(value)
    if now[1] != precision:
        torch.set_float32_matmul_precision(precision)
    for name, flag in zip(_FLAGS, flags, strict=True):
        if getattr(_CUDNN, name) != flag:
            setattr(_CUDNN, name, flag)


_CUDNN: Any = torch.backends.cudnn
_FLAGS = ("enabled", "benchmark", "deterministic", "allow_tf32")


@contextmanager
def quiet_torch(grad: bool, undecomposed: bool = True) -> Iterator[None]:
    """Set the grad mode and switch off features of torch that need values or hide ops, in this context.

    Args:
        grad: whether autograd is on.
        undecomposed: whether composite ops reach the recorder undecomposed while autograd is off.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(_restore_default_device, _default_device())
        stack.callback(_restore_settings, settings())
        # By default, distributions read their arguments' values to validate them; no shape depends on that.
        distribution = torch.distributions.Distribution
        stack.callback(distribution.set_default_validate_args, validates_distributions())
        distribution.set_default_validate_args(False)
        if is_compiler_loaded():  # else nothing can have been compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        # With it, encoder layers would run as one op, which has no meta kernel and hides its parts.
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if torch.is_anomaly_enabled():  # its checks read every gradient
            stack.enter_context(torch.autograd.set_detect_anomaly(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if undecomposed and not grad:
            # Below autograd, composite ops arrive undecomposed, and autograd's bookkeeping costs no time.
            stack.enter_context(BelowAutograd())
        yield
