"""Fast rules for output types, compared with the package's own inference: equal wherever a rule answers."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from cnncost.frontends.onnx.attributes import attribute_of
from cnncost.frontends.onnx.fast_types import RULES, fast_type
from cnncost.frontends.onnx.inference import Inference
from cnncost.frontends.onnx.lowering.registry import Op, Tensor
from cnncost.tensor_types import TensorType

OPSETS = (7, 9, 11, 13, 17, 21, onnx.defs.onnx_opset_version())
SINCE = {"Erf": 9, "HardSwish": 14, "Gelu": 20, "ConstantOfShape": 9}
"""Opsets of ops that came later."""
sizes = st.integers(0, 4)
small = st.integers(-2, 4)
shapes = st.lists(sizes, max_size=5).map(tuple)


def said(name, attributes, kinds, opset, constants=()):
    """The rule's type and the package's, of a node with these inputs; the last ones are constants."""
    proto = helper.make_node(name, [f"x{i}" for i in range(len(kinds) + len(constants))], ["y"], **attributes)
    inputs = [Tensor(kind) for kind in kinds]
    inputs += [Tensor(TensorType(each.shape, each.dtype.name), constant=each) for each in map(np.asarray, constants)]
    op = Op(name, opset, {each.name: attribute_of(each) for each in proto.attribute}, inputs, [])
    return fast_type(op), Inference(onnx, {"": opset}).types(proto, op, "")[0]


def agree(name, attributes, kinds, opset, constants=()):
    """Whether the rule returns the package's answer, or None."""
    rule, package = said(name, attributes, kinds, opset, constants)
    says_less = isinstance(package, onnx.TypeProto) and not package.tensor_type.HasField("shape")
    return says_less or rule in (None, package)


def floats(*given_shapes):
    return [TensorType(shape, "float32") for shape in given_shapes]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_rule_contradicts_the_package(data):
    """Shapes and attributes at random, most of which fit nowhere, so that the package refuses them."""
    name = data.draw(st.sampled_from(sorted(set(RULES) - {"Reshape", "ConstantOfShape"})))
    kinds = data.draw(st.lists(st.builds(TensorType, shapes, st.sampled_from(["float32", "float16"])), min_size=1))[:3]
    if name == "Gather":
        kinds[1:] = [kind.cast("int64") for kind in kinds[1:]]
    attributes = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "axis": small,
                "perm": st.permutations(range(len(kinds[0].shape))),
                "transA": st.integers(0, 1),
                "transB": st.integers(0, 1),
                "kernel_shape": st.lists(st.integers(1, 3), min_size=1, max_size=3),
                "strides": st.lists(st.integers(1, 3), min_size=1, max_size=3),
                "pads": st.lists(st.integers(0, 2), min_size=2, max_size=6),
                "group": st.integers(1, 2),
            },
        )  # fmt: skip
    )
    if name == "Cast":
        attributes["to"] = data.draw(st.integers(0, 20))
    if name == "Sum":  # the package gets its broadcasting of scalars and of empty tensors wrong
        assume(all(kind.shape and 0 not in kind.shape for kind in kinds))
    opset = max(data.draw(st.sampled_from(OPSETS)), SINCE.get(name, 0))
    schema = onnx.defs.get_schema(name, opset, "")
    attributes = {key: value for key, value in attributes.items() if key in schema.attributes and value != []}
    if schema.min_input <= len(kinds) <= schema.max_input:
        assert agree(name, attributes, kinds, opset)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["Conv", "MaxPool", "AveragePool"]), opset=st.sampled_from(OPSETS), batch=sizes,
    space=st.lists(st.integers(1, 9), min_size=1, max_size=3), window=st.data(),
)  # fmt: skip
def test_windows(name, opset, batch, space, window):
    def many(least, most, count):
        return window.draw(st.lists(st.integers(least, most), min_size=count, max_size=count))

    axes = len(space)
    kernel = many(1, 4, axes)
    optional = {"strides": many(1, 3, axes), "pads": many(0, 2, 2 * axes)}
    if name == "Conv" or (name == "MaxPool" and opset >= 10):
        optional["dilations"] = many(1, 2, axes)
    if name == "AveragePool":
        optional["count_include_pad"] = 1
    attributes = {key: value for key, value in optional.items() if window.draw(st.booleans())}
    if name == "Conv":
        assert agree(name, attributes, floats((batch, 4, *space), (6, 2, *kernel)), opset)  # channels that do not fit
        assert agree(name, {**attributes, "group": 2}, floats((batch, 4, *space), (6, 2, *kernel), (6,)), opset)
    else:
        assert agree(name, {**attributes, "kernel_shape": kernel}, floats((batch, 4, *space)), opset)


@settings(max_examples=150, deadline=None)
@given(
    x=shapes, opset=st.sampled_from(OPSETS), wanted=st.lists(st.integers(-1, 6), max_size=4), allowzero=st.booleans(),
    fill=st.sampled_from([None, np.float32(1), np.int64(2), np.bool_(True)]),
)  # fmt: skip
def test_sizes_in_a_constant(x, opset, wanted, allowzero, fill):
    sizes = np.asarray(wanted, np.int64)
    attributes = {"allowzero": 1} if allowzero and opset >= 14 else {}
    assert agree("Reshape", attributes, floats(x), opset, [sizes])
    value = {} if fill is None else {"value": onnx.numpy_helper.from_array(np.asarray([fill]))}
    if opset >= 9:
        assert agree("ConstantOfShape", value, [], opset, [sizes])


PLAIN = {
    **dict.fromkeys(set(RULES), ({}, floats((2, 4, 8, 8)), (2, 4, 8, 8))),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum"), ({}, floats((2, 1, 5), (4, 1)), (2, 4, 5))),
    "Conv": ({"pads": [1] * 4, "strides": [2, 2]}, floats((2, 4, 8, 8), (6, 4, 3, 3), (6,)), (2, 6, 4, 4)),
    "MaxPool": ({"kernel_shape": [3, 3], "strides": [2, 2]}, floats((2, 4, 8, 8)), (2, 4, 3, 3)),
    "AveragePool": ({"kernel_shape": [2, 2], "strides": [2, 2]}, floats((2, 4, 8, 8)), (2, 4, 4, 4)),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), ({}, floats((2, 4, 8, 8)), (2, 4, 1, 1))),
    "BatchNormalization": ({}, floats((2, 4, 8, 8), (4,), (4,), (4,), (4,)), (2, 4, 8, 8)),
    "Flatten": ({"axis": 2}, floats((2, 4, 8, 8)), (8, 64)),
    "Gemm": ({"transB": 1}, floats((2, 4), (6, 4), (6,)), (2, 6)),
    "MatMul": ({}, floats((3, 1, 2, 4), (5, 4, 6)), (3, 5, 2, 6)),
    "Transpose": ({"perm": [0, 2, 1]}, floats((2, 4, 8)), (2, 8, 4)),
    "Concat": ({"axis": -1}, floats((2, 4), (2, 3)), (2, 7)),
    "Gather": ({"axis": 1}, [*floats((2, 4, 8)), TensorType((3, 5), "int64")], (2, 3, 5, 8)),
    "Cast": ({"to": TensorProto.FLOAT}, floats((2, 4)), (2, 4)),
}
CONSTANT = {
    "Reshape": (floats((2, 4, 8, 8)), np.asarray([0, -1, 16]), (2, 16, 16)),
    "ConstantOfShape": ([], np.asarray([2, 3]), (2, 3)),
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_rule_says_something(name):
    """Shapes by hand; the package infers the same."""
    if name in CONSTANT:
        kinds, constant, shape = CONSTANT[name]
        found = said(name, {}, kinds, 17, [constant])
    else:
        attributes, kinds, shape = PLAIN[name]
        found = said(name, attributes, kinds, 20, [])
    assert found == (TensorType(shape, "float32"),) * 2
