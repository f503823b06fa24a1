"""Every node model of the package onnx's own backend tests: all followed, shapes as the tests' expected outputs.

    python tests/conformance/onnx_nodes.py

Prints what is unknown, by op, and how often; fails if a model can't be followed or a shape differs.
"""

import sys
import warnings
from collections import Counter
from typing import NamedTuple

from cnncost.errors import CnncostError
from cnncost.frontends.onnx import graph_of
from cnncost.frontends.onnx.reader import checked
from cnncost.ops import cost_of
from cnncost.ops.check import verify_graph

REFUSED = {
    "test_not_2d": "opset 1", "test_not_3d": "opset 1", "test_not_4d": "opset 1",
    **dict.fromkeys(
        ("test_sequence_map_identity_1_sequence_1_tensor", "test_sequence_map_identity_1_sequence_1_tensor_expanded",
         "test_sequence_map_add_1_sequence_1_tensor", "test_sequence_map_add_1_sequence_1_tensor_expanded"),
        "axis 0 is open"),
}  # fmt: skip
"""Models that are refused, and what the message says."""


class Outcome(NamedTuple):
    """What became of a model: its unknown ops, and what is wrong."""

    unknown: frozenset[str]
    wrong: str


def cases():
    """Names, models and expected shapes (None for what is no tensor)."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    for case in found:
        outputs = case.data_sets[0][1] if case.data_sets else []
        yield case.name, case.model, [tuple(o.shape) if hasattr(o, "shape") else None for o in outputs]


def outcome(name, model, expected):
    """Follow one model."""
    try:
        graph = verify_graph(graph_of(name, checked(name, model)))
    except CnncostError as error:
        said = REFUSED.get(name)
        return Outcome(frozenset(), "" if said is not None and said in str(error) else str(error))
    unknown = frozenset(node.name for node in graph.nodes if cost_of(node.spec) is None)
    shapes = [graph.values[i].shape for i in graph.outputs]
    wanted = [shape for shape in expected if shape is not None]
    if len(shapes) == len(wanted):
        wrong = "" if shapes == wanted else f"shapes {shapes}, expected {wanted}"
    else:  # a tensor of strings, or one whose shape is in the data: an op that makes it is unknown
        wrong = "" if unknown or len(wanted) < len(expected) else f"{len(shapes)} outputs, expected {len(wanted)}"
    return Outcome(unknown, wrong)


def main():
    found = {name: outcome(name, model, expected) for name, model, expected in cases()}
    unknown = Counter(op for each in found.values() for op in each.unknown)
    wrong = {name: each.wrong for name, each in found.items() if each.wrong}
    known = sum(not each.unknown and not each.wrong for each in found.values())
    print(f"{len(found)} models, {known} without unknown ops, {len(wrong)} wrong")
    for op, count in unknown.most_common():
        print(f"unknown: {op} in {count}")
    for name, said in wrong.items():
        print(f"WRONG: {name}: {said}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
