"""What a prompt and a debugger show of any record that public functions give: one line of at most 200 characters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import cnncost
from cnncost.devices import find
from cnncost.ops import cost_of
from cnncost.reprs import line
from cnncost.verify import verify

MOST = 200


def roots() -> Iterator[Any]:
    """Results of each public function, of a network deep and wide enough for long rows."""
    report = cnncost.analyze("resnet18", training=True, optimizer="adamw").with_receptive_fields().with_memory()
    difference = cnncost.diff("lenet5", "lenet1")
    yield from (report, report.memory, report.modules, report.graph, difference, difference.changes)
    yield difference.attribution("macs")
    yield from (
        cnncost.compare(["lenet5", "lenet1"]),
        cnncost.roofline(report, device="h100"),
        cnncost.formula("lenet5"),
    )
    yield from (
        cnncost.check(names=["lenet5"], any_torch=True),
        verify("lenet5", with_fvcore=False),
        find("h100", None),
    )
    yield from (cnncost.RecordOptions(), cnncost.Training("mse", "adamw"), cnncost.Meter)
    assert report.graph is not None
    yield cost_of(report.graph.nodes[0].spec)


def inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    if dataclasses.is_dataclass(value):
        return [getattr(value, each.name) for each in dataclasses.fields(value)]
    return value if isinstance(value, (tuple, list)) else ()


@pytest.fixture(scope="module")
def found() -> dict[str, list[Any]]:
    """All records of this package that can be reached, by their class."""
    kinds: dict[str, list[Any]] = {}
    visited: dict[int, Any] = {}
    waiting = list(roots())
    while waiting:
        value = waiting.pop()
        if id(value) in visited:
            continue
        visited[id(value)] = value
        if type(value).__module__.startswith("cnncost"):
            kinds.setdefault(type(value).__name__, []).append(value)
        waiting += inner(value)
    return kinds


def test_all_are_short_and_of_one_line(found: dict[str, list[Any]]) -> None:
    long = {name: repr(each)[:MOST] for name, all_of in found.items() for each in all_of if len(repr(each)) > MOST}
    assert long == {}
    assert [name for name, all_of in found.items() for each in all_of if "\n" in repr(each)] == []


@pytest.mark.parametrize(
    "name",
    ["Layer", "Module", "Op", "PhaseCost", "Totals", "Node", "OpSpec", "Scope", "Value", "Change", "Part", "Compared",
     "Device", "Predicted", "OpTime", "Peak", "Judged", "Rule", "Budget", "Verification", "PeerCount", "Cost"],
)  # fmt: skip
def test_a_record_that_users_meet_is_among_them(found: dict[str, list[Any]], name: str) -> None:
    assert found[name]


def test_what_they_say() -> None:
    report = cnncost.analyze("lenet5")
    # 6 filters of 5·5 and a bias each; at 28·28 positions; a MAC is two FLOPs, and a bias one
    assert repr(report.layer("c1")) == "<Layer c1 (Conv2d): 156 params, 117,600 MACs, 239,904 FLOPs>"
    assert repr(report.modules[0]) == "<Module the model (LeNet5): 60,000 params, 325,680 MACs, 694,086 FLOPs>"
    assert report.graph is not None
    spec = report.graph.nodes[0].spec
    types = "1x1x32x32 float32, 6x1x5x5 float32, 6 float32 -> 1x6x28x28 float32"
    assert repr(spec).startswith(f"<OpSpec conv: {types}")
    assert repr(report.graph.nodes[0]).endswith(f", forward: {types}>")


def test_a_lower_bound_is_marked() -> None:
    from cnncost.report.rows import Layer

    row = Layer(macs=1, flops=2, bytes_read=0, bytes_written=0, params=3, trainable_params=3, buffers=0,
                receptive_field=None, jump=None, start=None, allocated=None, saved=None, macs_unmasked=None,
                path="a", class_name="B", unknown=True)  # fmt: skip
    assert repr(row) == "<Layer a (B): 3 params, >=1 MAC, >=2 FLOPs>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("short", "<int short>"), ("a\nb\x1b[31m", "<int a\\nb\\x1b[31m>"), ("x" * 500, f"<int {'x' * 191}...>")],
)
def test_a_line(text: str, shown: str) -> None:
    assert line(1, text) == shown
    assert len(shown) <= MOST
