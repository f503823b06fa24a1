"""Attention written by hand in an ONNX file: its masks leave the same marks as a torch model's."""

import numpy as np
import pytest
from onnx import numpy_helper
from onnx_files import analyzed, model, node

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
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_attention_by_hand_is_marked_as_in_torch(tmp_path, way):
    between, marked = WAYS[way]
    arrays = {"half": np.float32(0.5), "keep": np.isfinite(MASK)}
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    proto = model(
        [SCORES, *between, WEIGHTED], [("q", 4, 8), ("kt", 8, 4), ("v", 4, 8), ("mask", 4, 4)], stored=constants
    )
    totals = analyzed(tmp_path, proto).with_masks().totals
    assert (totals.macs_unmasked, totals.mask_unknown) == (2 * 4 * 8 * 4, marked)
