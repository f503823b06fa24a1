"""ONNX files made by hand."""

import numpy as np
import onnx
from onnx import TensorProto, helper

import cnncost
from cnncost.ops.check import verify_graph

MICROSOFT = ("com.microsoft", "com.microsoft.nchwc")


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def weight(name, *shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor(name, dtype, shape, np.zeros(shape, np.float32).reshape(-1).tolist())


def ints(name, *values):
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def value(name, *shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape or None)


def model(nodes, inputs, outputs=("y",), stored=(), opset=17, **kwargs):
    """Inputs as name=shape; outputs without shapes."""
    given = [each if hasattr(each, "name") else value(*each) for each in inputs]
    out = [helper.make_empty_tensor_value_info(name) for name in outputs]
    for each in out:
        each.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(nodes, "g", given, out, list(stored))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in MICROSOFT)]
    return helper.make_model(graph, opset_imports=opsets, **kwargs)


def saved(folder, proto, name="m.onnx"):
    path = folder / name
    onnx.save(proto, path)
    return str(path)


def analyzed(folder, proto, inputs=None, **sizes):
    """The report of a model, its Graph checked against the declarations of op kinds."""
    report = cnncost.analyze(saved(folder, proto), inputs, model_args=sizes or None)
    verify_graph(report.graph)
    return report
