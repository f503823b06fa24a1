"""Attention written by hand in an ONNX file: its masks are marked as in a torch model."""

import numpy as np
import pytest
from onnx import numpy_helper
from onnx_files import analyzed, model, node

from cnncost.graph_json import from_json, to_json

MASK = np.where(np.tril(np.ones((4, 4))), 0, -np.inf).astype(np.float32)
SCORES, WEIGHTED = node("MatMul", "q kt", "s"), node("MatMul", "p v", "y")
SOFTMAX = node("Softmax", "m", "p", axis=-1)
WAYS = {
    "no mask": ([node("Identity", "s", "m"), SOFTMAX], False),
    "scaled": ([node("Mul", "s half", "m"), SOFTMAX], False),
    "divided": ([node("Div", "s half", "m"), SOFTMAX], False),
    "joined with itself, and cut": (
        [node("Concat", "s s", "c", axis=0), node("Split", "c", "m rest", axis=0), SOFTMAX], False,
    ),
    "a mask is added": ([node("Add", "s mask", "m"), SOFTMAX], True),
    "a mask is subtracted": ([node("Sub", "s mask", "m"), SOFTMAX], True),
    "scores are chosen": ([node("Where", "keep s half", "m"), SOFTMAX], True),
    "weights times zeros": ([node("Softmax", "s", "m", axis=-1), node("Mul", "m mask", "p")], True),
    "a triangle of the scores": ([node("Trilu", "s", "p", upper=0)], True),
    "the lesser": ([node("Min", "s mask", "m"), SOFTMAX], True),
    "added without a softmax": ([node("Add", "s mask", "p")], False),
    "a reshaped mask is added": ([node("Transpose", "mask", "t", perm=[1, 0]), node("Add", "s t", "m"), SOFTMAX], True),
}  # fmt: skip


@pytest.mark.parametrize("stored", [False, True], ids=["given", "stored in the file"])
@pytest.mark.parametrize("way", WAYS)
def test_attention_by_hand_is_marked_as_in_torch(tmp_path, way, stored):
    between, marked = WAYS[way]
    arrays = {"half": np.float32(0.5), "keep": np.isfinite(MASK)}
    if stored:
        arrays["mask"] = MASK
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    given = [("q", 4, 8), ("kt", 8, 4), ("v", 4, 8), *([] if stored else [("mask", 4, 4)])]
    proto = model([SCORES, *between, WEIGHTED], given, stored=constants)
    totals = analyzed(tmp_path, proto).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown) == (2 * 4 * 8 * 4, marked)


def test_a_weight_of_a_product_is_no_mask(tmp_path):
    """A stored weight of a product is not a mask: scores times ones are mixed heads."""
    mixing = numpy_helper.from_array(np.ones((4, 4), np.float32), "mixing")
    proto = model(
        [SCORES, node("MatMul", "s mixing", "m"), SOFTMAX, WEIGHTED],
        [("q", 4, 8), ("kt", 8, 4), ("v", 4, 8)],
        stored=[mixing],
    )
    totals = analyzed(tmp_path, proto).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown, totals.params) == (2 * 4 * 8 * 4 + 4 * 4 * 4, False, 16)


def test_a_saved_graph_keeps_what_its_file_does_not_say(tmp_path):
    mask = numpy_helper.from_array(MASK, "mask")
    proto = model(
        [SCORES, *WAYS["a mask is added"][0], WEIGHTED], [("q", 4, 8), ("kt", 8, 4), ("v", 4, 8)], stored=[mask]
    )
    graph = analyzed(tmp_path, proto).graph
    assert [graph.values[i].type.shape for i in graph.undeclared] == [(4, 4)]
    assert from_json(to_json(graph)) == graph
