"""Shapes of every tensor of an ONNX model in ONNX Runtime's real run, beside those that the front end knows.

    python tests/conformance/onnx_runtime.py

Runs all node models of the package onnx's own backend tests, and models of ops of com.microsoft, with each tensor of
the graph made an output.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from cnncost.errors import CnncostError  # noqa: E402
from cnncost.frontends.onnx import graph_of  # noqa: E402
from cnncost.frontends.onnx.interpreter import Interpreter  # noqa: E402

NEWEST_IR = 10


class Outcome(NamedTuple):
    """Tensors of a model whose shape is as in the run, those without a shape, and those that differ."""

    equal: int
    unknown: int
    wrong: dict[str, str]
    not_run: str


def known(model, inputs=None):
    """Shape by name of each tensor of the graph itself (None if it is not known), and the Graph."""
    seen = []
    run = Interpreter.run

    def noticed(self, nodes, names, *rest):
        if not seen:
            seen.append(names)
        return run(self, nodes, names, *rest)

    with patch.object(Interpreter, "run", noticed):
        graph = graph_of("m.onnx", model, inputs)
    made = {name for node in model.graph.node for name in node.output if name}
    return {name: t.type.shape if t.type is not None else None for name, t in seen[0].items() if name in made}, graph


def measured(model, feeds):
    """Shape by name of each tensor in ONNX Runtime's run, in its order and without its optimizations."""
    import onnx
    import onnxruntime as ort

    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    wide.ir_version = min(wide.ir_version, NEWEST_IR)
    there = {output.name for output in wide.graph.output}
    for node in wide.graph.node:
        wide.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in node.output if name and name not in there and not there.add(name)
        )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, feeds)
    return {name: tuple(v.shape) for name, v in zip(names, values, strict=True) if hasattr(v, "shape")}


def fed(model, data):
    """The data of a test case, by the input's name, as arrays."""
    import onnx

    arrays = [onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x for x in data]
    arrays = [np.asarray(x) if isinstance(x, np.generic) else x for x in arrays]
    return dict(zip((i.name for i in model.graph.input), arrays, strict=False))


def compared(model, feeds):
    """The outcome for one model."""
    try:
        shapes = measured(model, feeds)
    except Exception as error:  # noqa: BLE001  # what the runtime lacks, or refuses
        return Outcome(0, 0, {}, " ".join(str(error).split())[:160])
    own, _ = known(model, {name: tuple(v.shape) for name, v in feeds.items() if hasattr(v, "shape")})
    wrong, equal, unknown = {}, 0, 0
    for name, shape in shapes.items():
        if own.get(name) is None:
            unknown += 1
        elif own[name] != shape:
            wrong[name] = f"{own[name]}, the run has {shape}"
        else:
            equal += 1
    return Outcome(equal, unknown, wrong, "")


def fused():
    """Names, models and data of ops of com.microsoft."""
    from fused_models import feeds, models

    rng = np.random.default_rng(0)
    return [(each.name, each.model, feeds(each.model, rng)) for each in models()]


def nodes():
    """Names, models and data of the package's node models."""
    import warnings

    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    return [(c.name, c.model, fed(c.model, c.data_sets[0][0])) for c in cases if c.data_sets]


def main():
    total, wrong, refused = Counter(), {}, Counter()
    for name, model, feeds in [*fused(), *nodes()]:
        try:
            found = compared(model, feeds)
        except CnncostError as error:
            wrong[name] = str(error)
            continue
        total += Counter(models=1, equal=found.equal, unknown=found.unknown, not_run=bool(found.not_run))
        if found.not_run:
            refused[found.not_run] += 1
        if found.wrong:
            wrong[name] = str(found.wrong)
    print(dict(total), len(wrong), "wrong")
    for name, said in wrong.items():
        print(f"WRONG: {name}: {said}")
    for said, count in refused.most_common(400):
        print(f"not run: {count} {said}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
