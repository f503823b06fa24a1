"""Reach rules: interpolation windows against torch, user-defined rules, and which ops have none."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.errors import RuleError
from cnncost.graph import OpSpec, TensorType
from cnncost.ops import kinds
from cnncost.ops.reach import All, Route, Spread, reach, reach_of, routes
from cnncost.ops.reach import kinds as followed
from cnncost.ops.reach.windows import resized, sliding

SIZES = [(n, m) for n in (1, 2, 3, 5, 8, 11) for m in (1, 2, 3, 4, 7, 10, 16)]
MODES = {"nearest": "nearest", "nearest-exact": "nearest_exact", "bilinear": "linear", "bicubic": "cubic"}


def poisoned(n, m, dtype=torch.float32, **options):
    """First and last row that each row of an interpolated map depends on, by poisoning one row at a time."""
    seen = [[] for _ in range(m)]
    for i in range(n):
        x = torch.zeros(1, 1, n, 3, dtype=dtype)
        x[:, :, i] = torch.nan
        for j in torch.isnan(F.interpolate(x, **options)).any(dim=3).flatten().nonzero().flatten().tolist():
            seen[j].append(i)
    return [(rows[0], rows[-1]) if rows else None for rows in seen]


def hulls(window):
    return [(min(rows), max(rows)) if rows else None for rows in window.sees]


@pytest.mark.parametrize("double", [False, True], ids=["", "double"])
@pytest.mark.parametrize("smooth", [False, True], ids=["", "antialiased"])
@pytest.mark.parametrize("align", [False, True], ids=["", "aligned"])
@pytest.mark.parametrize("mode", MODES)
def test_interpolation_to_a_size(mode, align, smooth, double):
    name = MODES[mode]
    if mode.startswith("nearest"):
        if align or smooth:
            pytest.skip("torch has no such")
        align = None
    dtype = torch.float64 if double else torch.float32
    for n, m in [*SIZES, (14, 10)]:
        expected = poisoned(n, m, dtype, size=(m, 2), mode=mode, align_corners=align, antialias=smooth)
        window = resized(2, n, m, name, bool(align), None, antialias=smooth, double=double)
        assert hulls(window) == expected, (n, m)


@pytest.mark.parametrize("mode", MODES)
def test_interpolation_by_a_factor(mode):
    align = None if mode.startswith("nearest") else False
    for n, factor in product((2, 3, 5, 8, 11), (0.5, 0.75, 1.25, 1.5, 2.0, 2.3, 3.0)):
        m = int(n * factor)
        expected = poisoned(n, m, scale_factor=(factor, 1.0), mode=mode, align_corners=align)
        assert hulls(resized(2, n, m, MODES[mode], False, factor)) == expected, (n, factor)


def test_a_window_is_clipped_at_the_borders():
    window = sliding(0, 5, 3, kernel=3, stride=2, padding=1)
    assert [list(rows) for rows in window.sees] == [[0, 1], [1, 2, 3], [3, 4]]
    assert window.pattern == (1, 2, ((-1, 0, 1),))


NOT_FOLLOWED = {
    "custom": "what its rule does not say",
    "linalg": "factors of whole matrices",
    "pinv": "factors of whole matrices",
    "histogram": "which bin counts is in the data",
    "segment_reduce": "segments are in the data",
    "ctc": "a loss of whole sequences",
    "linear_cross_entropy": "a loss of whole rows",
    "all_close": "one number of all elements",
    "deform_conv": "places are in the data",
    "nms": "which boxes are kept is in the data",
    "quantize": "of quantized layers",
    "quantized_conv": "its geometry is packed away with its weights",
    "quantized_linear": "of quantized layers",
    "roi_align": "places are in the data",
    "bag": "which rows are looked up is in the data",
    "distance": "pairs are laid out in ways of their own",
    "grouped_matmul": "groups are in the data",
    "optimizer_step": "of weights",
    "renorm": "of weights",
    "sample": "places are in the data",
    "search": "of constants",
    "trilinear": "a part of bilinear layers",
    "weight_norm": "of weights",
}


def test_kinds_without_a_reach_rule_are_known():
    """Apart from listed exceptions and custom kinds only backward ops lack one; no unit depends on those."""
    own = {kind for kind in kinds() if "::" not in kind}
    assert own - set(followed()) - set(NOT_FOLLOWED) == {kind for kind in own if kind.endswith("_backward")}


@torch.library.custom_op("reach_test::mixed", mutates_args=())
def mixed_rows(x: torch.Tensor) -> torch.Tensor:
    return x + x.sum(2, keepdim=True)


@mixed_rows.register_fake
def _(x):
    return torch.empty_like(x)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return mixed_rows(self.conv(x))


def test_a_user_defined_reach_rule():
    assert cnncost.analyze(Mixed(), (1, 1, 8, 8)).receptive_field("").size == (cnncost.UNKNOWN, cnncost.UNKNOWN)

    @cnncost.reach("reach_test::mixed", replace=True)
    def rule(spec):
        return routes(Route(0, (All(2), Spread(2, spec.inputs[0].shape[2]))))

    assert cnncost.analyze(Mixed(), (1, 1, 8, 8)).receptive_field("").size == (cnncost.GLOBAL, 3)


def test_a_failing_reach_rule_raises():
    @reach("reach_test::broken", replace=True)
    def rule(spec):
        return spec["absent"]

    spec = OpSpec("reach_test::broken", (TensorType((2, 3), "float32"),), ())
    with pytest.raises(RuleError, match=r"reach rule 'reach_test::broken' failed on inputs 2x3: KeyError"):
        reach_of(spec)


def test_a_kind_has_one_rule():
    with pytest.raises(ValueError, match="the kind already has a rule"):
        reach("conv")(lambda spec: None)


@pytest.mark.parametrize("shape", [(4,), (3, 2), (5, 2, 3)])
def test_shapes_that_do_not_broadcast_are_not_followed(shape):
    """An op of an elementwise kind whose shapes don't fit gets None, so its field is unknown and not a wrong number."""
    types = (TensorType((2, 3), "float32"), TensorType(shape, "float32"))
    assert reach_of(OpSpec("pointwise", types, types[:1], (("fn", "add"),))) is None


def test_fused_attention_sees_its_query_and_all_keys():
    """B,L,D = 2,5,4 and 3 keys: an output sees its query's features and those of all keys and values."""
    query, keys = TensorType((2, 5, 4), "float32"), TensorType((2, 3, 4), "float32")
    attrs = {"batch": 2, "queries": 5, "keys": 3, "width": 4, "heads": 1, "mask": False, "weights": False,
             "average": False, "mask_type": None}  # fmt: skip
    (output,) = reach_of(OpSpec("mha", (query, keys, keys), (query,), tuple(attrs.items())))
    features, rows = (All(2), Spread(2, 4)), (All(1, slides=True), Spread(1, 5))
    assert output.routes == (Route(0, features), Route(1, rows + features), Route(2, rows + features))
    attrs |= {"keys": 5, "ffn": 8, "activation": "relu", "norm_first": False}
    (output,) = reach_of(OpSpec("encoder_layer", (query,), (query,), tuple(attrs.items())))
    assert output.routes == (Route(0, rows + features),)
