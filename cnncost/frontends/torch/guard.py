"""What the user has is afterwards as it was: modules, tensors, random state, modes. Also when forward raises."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

_CONTAINERS = frozenset({dict, list, set})


@contextmanager
def unchanged(modules: list[nn.Module]) -> Iterator[None]:
    """Put back what forward changes on the modules themselves: attributes, caches, parametrised weights.

    Dictionaries, lists and sets that a module holds are put back too, one level deep.
    """
    before = [(module, module.__class__, module.__dict__.copy()) for module in modules]
    held = [v for _, _, d in before for v in d.values() if type(v) in _CONTAINERS and v]
    copies = [container.copy() for container in held]
    identities = _identities(held)
    try:
        yield
    finally:
        for module, cls, attributes in before:
            if module.__class__ is not cls:
                module.__class__ = cls
            if not _equal(module.__dict__, attributes):
                _restore(module.__dict__, attributes)
        if _identities(held) != identities:
            for container, copy in zip(held, copies, strict=True):
                _restore(container, copy)


def _equal(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Python compares the same objects at once, and others by their own `==`, which may fail (tensors, arrays)."""
    try:
        return now == before
    except Exception:  # noqa: BLE001  # whatever a user's `==` raises, the objects are not the same
        return False


def _identities(containers: list[Any]) -> list[int]:
    """The identity of everything that the containers hold; `==` would take equal tensors for the same."""
    return [id(v) for c in containers for v in (c.values() if type(c) is dict else c)]


def _restore(held: Any, items: Any) -> None:
    held.clear()
    if isinstance(held, list):
        held.extend(items)
    else:
        held.update(items)


@contextmanager
def same_random_state() -> Iterator[None]:
    """Seed the generators for the time of a recording, so that it repeats, and put their states back."""
    state, python = torch.get_rng_state(), random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    numpy = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    try:
        torch.default_generator.manual_seed(0)
        random.seed(0)
        if numpy is not None:
            numpy.seed(0)
        yield
    finally:
        torch.set_rng_state(state)
        random.setstate(python)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if numpy is not None:
            numpy.set_state(numpy_state)


@contextmanager
def quiet_torch(grad: bool) -> Iterator[None]:
    """Grad mode as asked for; compiled functions run as the Python that they were compiled from."""
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:  # nothing can have been compiled before it was imported
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if not grad:
            # Below autograd composite ops arrive whole, and nothing is spent on autograd's own bookkeeping.
            stack.enter_context(torch._C._AutoDispatchBelowAutograd())
        yield
