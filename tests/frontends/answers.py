"""Shape rules compared with the real op: the same outputs where torch computes, no answer where it raises."""

from __future__ import annotations

import pytest
import torch

from cnncost.frontends.torch.overloads import overload
from cnncost.frontends.torch.shapes import output_types


def without_data(value):
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    return [without_data(v) for v in value] if isinstance(value, list) else value


def what_is_said(func, args, kwargs):
    op = overload(func)
    return output_types(op, op.bind(args, kwargs))


def _storages(value):
    if isinstance(value, torch.Tensor):
        return {value.untyped_storage().data_ptr()} if value.numel() else set()
    return set().union(*map(_storages, value)) if isinstance(value, (list, tuple)) else set()


def _order(tensor):
    """The order of elements in memory; with one channel or one position, a tensor may count as either format."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.dim())
    rows, channels = tensor.is_contiguous(), last is not None and tensor.is_contiguous(memory_format=last)
    if rows and channels:
        return "either"
    return "rows" if rows else "channels last" if channels else "other"


def check(func, *args, order=True):
    """Compare a rule with the real op; returns the rule's answer."""
    said = what_is_said(func, [without_data(a) for a in args], {})
    try:
        with torch.no_grad():
            result = func(*args)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        if said is not None:
            pytest.fail(f"torch refuses: {error}; the rule says {said}")
        return None
    if said is not None:
        results = [result] if isinstance(result, torch.Tensor) else list(result)
        assert [(size, dtype) for size, _, dtype in said] == [(tuple(t.shape), t.dtype) for t in results]
        for tensor, (size, stride, dtype) in zip(results, said, strict=True):
            made = torch.empty_strided(size, stride, dtype=dtype, device="meta")
            if order and not {"either", "other"} & {_order(t) for t in (tensor, *args) if isinstance(t, torch.Tensor)}:
                assert _order(made) == _order(tensor)
            assert not _storages(tensor) & _storages(list(args)), "the real op returns its input"
    return said


def works(func, *args):
    """Whether torch computes it."""
    try:
        with torch.no_grad():
            func(*args)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return False
    return True
