"""Shared fixtures for tests of cost rules: the cost of a function or module, with and without autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import cnncost
from cnncost.frontends.torch import record
from cnncost.ops import verify_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnncost.report.model import Report


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _Model(nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _analyze(function: Callable[..., Any], *inputs: Any, grad: bool = False, **keywords: Any) -> Report:
    """The report of a module or function on these inputs; every op must be accounted for."""
    given: Any = keywords or inputs
    model = function if isinstance(function, nn.Module) else _Model(function)
    report = cnncost.analyze(record(model, given, grad=grad))
    assert report.unknown == {}
    verify_graph(report.graph)
    return report


@pytest.fixture(scope="session")
def analyze() -> Callable[..., Report]:
    """The report of a module or function on these inputs; every op must be accounted for."""
    return _analyze


@pytest.fixture(scope="session")
def counted() -> Callable[..., tuple[int, int]]:
    """MACs and FLOPs; asserts that they are equal for whole ops and, with autograd on, for their parts."""

    def count(function: Callable[..., Any], *inputs: Any, **keywords: Any) -> tuple[int, int]:
        whole, parts = (_analyze(function, *inputs, grad=grad, **keywords).totals for grad in (False, True))
        assert (parts.macs, parts.flops) == (whole.macs, whole.flops), "with autograd on"
        return whole.macs, whole.flops

    return count
