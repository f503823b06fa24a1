"""Shape rules over all small settings: an answer exactly where torch computes, and the same one."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from cnncost.frontends.torch.overloads import overload
from cnncost.frontends.torch.shapes import registry
from tests.frontends.answers import check, what_is_said, without_data, works

aten = torch.ops.aten
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@pytest.fixture(autouse=True, scope="module")
def _torch_as_it_is_asked():
    threads, onednn = torch.get_num_threads(), torch._C._get_mkldnn_enabled()
    torch.set_num_threads(1)
    torch._C._set_mkldnn_enabled(False)
    yield
    torch.set_num_threads(threads)
    torch._C._set_mkldnn_enabled(onednn)


def answers(func, *args):
    """The rule answers if and only if torch computes, and its answer equals torch's."""
    said = check(func, *args)
    assert (said is not None) == works(func, *args), args
    return said


# ---- windows


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("stride", [0, 1, 2, 3, 4])
def test_pools(stride, ceil):
    for n, kernel, pad, dilation in product(range(1, 8), range(4), range(-1, 3), range(3)):
        x = torch.zeros(1, 1, n)
        said = check(aten.max_pool1d.default, x, [kernel], [stride], [pad], [dilation], ceil)
        computed = works(aten.max_pool1d.default, x, [kernel], [stride], [pad], [dilation], ceil)
        within = dilation * (kernel - 1) < n + 2 * pad  # else torch is asked what rounding up makes of it
        assert (said is not None) == (computed and within)
        if dilation == 1 and kernel <= n:
            answers(aten.avg_pool1d.default, x, [kernel], [stride], [pad], ceil)


POOLS = {
    # each axis has a setting of its own: a kernel, stride, padding and dilation, and the outputs of 9, 8 and 7
    "kernels": ([3, 2, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1], [7, 7, 7]),
    "strides": ([2, 2, 2], [1, 2, 3], [0, 0, 0], [1, 1, 1], [8, 4, 2]),
    "paddings": ([2, 3, 2], [1, 1, 1], [1, 0, 0], [1, 1, 1], [10, 6, 6]),
    "dilations": ([3, 3, 3], [1, 1, 1], [0, 0, 0], [1, 2, 3], [7, 4, 1]),
    "a stride that is the kernel": ([3, 2, 1], [], [0, 0, 0], [1, 1, 1], [3, 4, 7]),
}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "out"), POOLS.values(), ids=POOLS)
def test_pools_of_several_axes(axes, kernel, stride, padding, dilation, out):
    x = torch.zeros(2, 3, *[9, 8, 7][:axes])
    settings = [each[:axes] for each in (kernel, stride, padding, dilation)]
    names = [f"max_pool{axes}d", *([f"max_pool{axes}d_with_indices"] if axes > 1 else [])]
    for name in names:
        said = answers(getattr(aten, name).default, x, *settings)
        assert said[0][0] == (2, 3, *out[:axes])
        assert [dtype for *_, dtype in said] == [torch.float32, torch.int64][: len(said)]
        assert len(said) == 1 + name.endswith("indices")
    if set(dilation) == {1}:
        assert answers(getattr(aten, f"avg_pool{axes}d").default, x, *settings[:3])[0][0] == (2, 3, *out[:axes])


def test_pools_that_torch_is_asked_for():
    """Without a batch, of another order, of whole numbers, or with a kernel beyond the input: no answer, rightly."""
    x = torch.zeros(2, 3, 6, 6)
    for other in (x[0], x.transpose(2, 3)[:, :, 1:], x.to(memory_format=torch.channels_last), x.long()):
        assert check(aten.max_pool2d.default, other, [2, 2]) is None
        assert check(aten.adaptive_avg_pool2d.default, other, [2, 2]) is None
    assert check(aten.avg_pool2d.default, x, [7, 7], [1, 1], [3, 3]) is None
    assert check(aten.max_pool2d.default, x, [7, 7], [1, 1], [3, 3]) is not None


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive_pools(axes):
    func = getattr(aten, f"adaptive_avg_pool{axes}d").default
    for sizes in product([0, 1, 2, 7], repeat=axes):
        x = torch.zeros(2, 3, *[5, 4, 3][:axes])
        if min(sizes) > 0:
            assert answers(func, x, list(sizes))[0][0] == (2, 3, *sizes)
        else:
            assert check(func, x, list(sizes)) is None
    assert check(func, torch.zeros(2, 3, 4, *[4] * axes), [2] * axes) is None
    assert check(func, x, [2] * (axes + 1)) is None


@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_along_an_axis(transposed):
    grid = product(range(1, 6), range(1, 4), range(4), range(-1, 3), range(3), range(4) if transposed else [0])
    for n, kernel, stride, pad, dilation, extra in grid:
        x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, kernel)
        func = aten.conv_transpose1d.default if transposed else aten.conv1d.default
        more = [[extra], 1, [dilation]] if transposed else [[dilation]]
        given = (x, w, None, [stride], [pad], *more)
        assert (check(func, *given) is not None) == works(func, *given), given[3:]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_channels_and_groups_of_a_convolution(axes):
    for channels, inner, outer, groups in product(range(1, 5), range(1, 3), range(1, 5), range(1, 4)):
        x, w = torch.zeros(2, channels, *[3] * axes), torch.zeros(outer, inner, *[2] * axes)
        said = answers(getattr(aten, f"conv{axes}d").default, x, w, None, [1], [0], [1], groups)
        if said is not None:
            assert said[0][0] == (2, outer, *[2] * axes)
        w = torch.zeros(outer, inner, *[2] * axes)
        func = aten.conv_transpose1d.default if axes == 1 else getattr(aten, f"conv_transpose{axes}d").input
        said = answers(func, x, w, None, [1], [0], [0], groups, [1])
        if said is not None:
            assert said[0][0] == (2, inner * groups, *[4] * axes)


@pytest.mark.parametrize("transposed", [False, True])
def test_settings_by_axis_of_a_convolution(transposed):
    """7 and 9 positions, kernels of 3 and 2: (7 + 2 − 2·2 − 1)//2 + 1 and (9 + 0 − 1 − 1)//3 + 1."""
    x, w = torch.zeros(1, 4, 7, 9), torch.zeros(4, 4, 3, 2)
    if transposed:
        # (7 − 1)·2 − 2·1 + 2·2 + 1 + 1 and (9 − 1)·3 + 1 + 1 + 0
        (said,) = answers(aten.conv_transpose2d.input, x, w, None, [2, 3], [1, 0], [1, 0], 1, [2, 1])
        assert said[0] == (1, 4, 12 - 2 + 4 + 1 + 1, 24 + 1 + 1)
        args = (x, w, None, [2, 3], [1, 0], [2, 1], True, [1, 0], 1)
    else:
        (said,) = answers(aten.conv2d.default, x, w, None, [2, 3], [1, 0], [2, 1])
        assert said[0] == (1, 4, 3, 3)
        args = (x, w, None, [2, 3], [1, 0], [2, 1], False, [0, 0], 1)
    assert answers(aten.convolution.default, *args) == [said]


def test_biases_of_a_convolution():
    x, w = torch.zeros(1, 4, 5, 5), torch.zeros(6, 4, 3, 3)
    back = torch.zeros(4, 3, 3, 3)
    for size, dtype in product((5, 6, 7), (torch.float32, torch.float64)):
        answers(aten.conv2d.default, x, w, torch.zeros(size, dtype=dtype))
        said = check(aten.conv_transpose2d.input, x, back.repeat(1, 2, 1, 1), torch.zeros(size, dtype=dtype))
        assert (said is not None) == (size == 6 and dtype == torch.float32)
    for one, other in product((torch.float32, torch.float64), repeat=2):
        answers(aten.conv2d.default, x.to(one), w.to(other))
        answers(aten.conv_transpose2d.input, x.to(one), back.to(other))
    assert check(aten.conv2d.padding, x, w, None, [1, 1], "same") is None  # torch's own words


def last(tensor):
    return tensor.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_order_of_a_convolution(transposed):
    """One of the input and the weight with its channels last is enough; gaps are torch's to judge."""
    torch._C._set_mkldnn_enabled(True)
    x, w = torch.rand(2, 4, 6, 5), torch.rand(4, 4, 3, 2)
    func = aten.conv_transpose2d.input if transposed else aten.conv2d.default
    for one, other in ((x, w), (last(x), w), (x, last(w)), (last(x), last(w))):
        (said,) = answers(func, one, other)
        rows = one is x and other is w
        size = said[0]
        strides = (size[1] * size[2] * size[3], size[2] * size[3], size[3], 1)
        assert said[1] == (strides if rows else (strides[0], 1, size[3] * size[1], size[1]))
    for gaps in (torch.rand(2, 4, 6, 10)[..., ::2], torch.rand(2, 8, 6, 5)[:, ::2]):
        assert check(func, gaps, w) is None
    torch._C._set_mkldnn_enabled(False)


# ---- norms


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("other", FLOATS, ids=str)
def test_dtypes_of_a_batch_norm(train, dtype, other):
    x = torch.ones(2, 3, 4, dtype=dtype)
    kept = [torch.ones(3, dtype=other) for _ in range(4)]
    for given in product((False, True), repeat=2):
        affine, stats = [k if g else None for g, k in zip((given[0],) * 2, kept[:2], strict=True)], kept[2:]
        stats = stats if given[1] else [None, None]
        if works(aten.batch_norm.default, x, *affine, *stats, train, 0.1, 1e-5, False):
            said = check(aten.batch_norm.default, x, *affine, *stats, train, 0.1, 1e-5, False)
            plain = other == dtype or (dtype.itemsize == 2 and other == torch.float32) or given == (False, False)
            assert (said is not None) == plain
        else:
            assert check(aten.batch_norm.default, x, *affine, *stats, train, 0.1, 1e-5, False) is None


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("train", [False, True])
def test_sizes_of_a_batch_norm(place, size, train):
    """Of weight, bias, mean and variance one may be of another size than the three channels."""
    kept = [torch.ones(size if i == place else 3) for i in range(4)]
    assert (answers(aten.batch_norm.default, torch.ones(2, 3, 4), *kept, train, 0.1, 1e-5, False) is None) == (
        size != 3
    )


def test_what_a_batch_norm_keeps():
    """Nothing in evaluation; a mean and an inverse deviation a channel in training."""
    kept = [torch.ones(3) for _ in range(4)]
    for train in (False, True):
        said = answers(aten.native_batch_norm.default, torch.ones(2, 3, 4), *kept, train, 0.1, 1e-5)
        assert [size for size, *_ in said] == [(2, 3, 4), (3 * train,), (3 * train,)]
        assert check(aten._native_batch_norm_legit.default, torch.ones(2, 3, 4), *kept, train, 0.1, 1e-5) == said
    doubles = [k.double() for k in kept]
    said = check(aten.native_batch_norm.default, torch.ones(2, 3, 4).double(), *doubles, True, 0.1, 1e-5)
    assert {dtype for *_, dtype in said} == {torch.float64}
    assert check(aten.batch_norm.default, torch.ones(3), *kept, True, 0.1, 1e-5, False) is None
    assert check(aten.batch_norm.default, torch.ones(3), *[None] * 4, True, 0.1, 1e-5, False) is None
    assert check(aten.batch_norm.default, torch.ones(2, 4, 3).mT, *kept, True, 0.1, 1e-5, False) is None
    for gone in (2, 3):
        without = [None if i == gone else k for i, k in enumerate(kept)]
        assert check(aten.batch_norm.default, torch.ones(2, 3, 4), *without, False, 0.1, 1e-5, False) is None


@pytest.mark.parametrize("given", [(False, False), (True, False), (False, True), (True, True)])
def test_layer_norms(given):
    for shape, normal in product([(4,), (3, 4), (2, 3, 4), (4, 4)], [(), (4,), (3,), (3, 4), (4, 4), (2, 3, 4)]):
        affine = [torch.ones(normal) if g else None for g in given]
        answers(aten.layer_norm.default, torch.ones(shape), list(normal), *affine)
    x = torch.ones(2, 4)
    for dtype, other in product(FLOATS, repeat=2):
        affine = [torch.ones(4, dtype=other) if g else None for g in given]
        said = check(aten.layer_norm.default, x.to(dtype), [4], *affine)
        mixed = dtype.itemsize == 2 and other == torch.float32  # the one mixture that torch takes
        assert (said is not None) == (dtype == other or mixed or given == (False, False))
        if any(given):
            affine = [None if t is None else t[:3] for t in affine]
            assert check(aten.layer_norm.default, x.to(dtype), [4], *affine) is None


def test_channels_and_groups_of_a_group_norm():
    for channels, groups, size in product(range(1, 7), range(1, 5), range(1, 7)):
        for affine in ([None, None], [torch.ones(size), None], [None, torch.ones(size)], [torch.ones(size)] * 2):
            answers(aten.group_norm.default, torch.ones(2, channels, 3), groups, *affine)
    assert check(aten.group_norm.default, torch.ones(4), 2) is None
    assert check(aten.group_norm.default, torch.ones(2, 4), 2)[0][0] == (2, 4)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("other", [*FLOATS, None], ids=str)
def test_dtypes_of_a_group_norm(dtype, other):
    """Floats of 4 bytes or more with the same dtype or none; of two bytes only with float32 weights."""
    x, w = torch.ones(2, 4, 3, dtype=dtype), None if other is None else torch.ones(4, dtype=other)
    answered = other in (dtype, None) if dtype.itemsize > 2 else other == torch.float32
    said = check(aten.group_norm.default, x, 2, w, w)
    assert (said is not None) == answered
    parts = check(aten.native_group_norm.default, x, w, w, 2, 4, 3, 2, 1e-5)
    assert (parts is not None) == answered
    if answered:
        kept = torch.float32 if dtype.itemsize == 2 else dtype
        assert [(size, kind) for size, _, kind in parts] == [((2, 4, 3), dtype), ((2, 2), kept), ((2, 2), kept)]


def test_the_order_of_a_group_norm():
    x = torch.rand(2, 4, 3, 5)
    assert answers(aten.group_norm.default, x, 2)[0][1] == (60, 15, 5, 1)
    assert answers(aten.group_norm.default, last(x), 2)[0][1] == (60, 1, 20, 4)
    assert check(aten.group_norm.default, torch.rand(2, 4, 5, 3).mT, 2) is None
    assert check(aten.group_norm.default, torch.ones(2, 4, 3, dtype=torch.complex64), 2) is None


BACKWARD = {
    # the input's dtype, the weight's, which gradients are asked for, whether the rule answers
    "halves and floats": (torch.float16, torch.float32, [True, True, True], True),
    "bfloat16 and floats": (torch.bfloat16, torch.float32, [True, True, True], True),
    "halves alone": (torch.float16, torch.float16, [True, True, True], False),
    "floats alone": (torch.float32, torch.float32, [True, True, True], False),
    "halves and doubles": (torch.float16, torch.float64, [True, True, True], False),
    "without the input's": (torch.float16, torch.float32, [False, True, True], False),
    "without the weight's": (torch.float16, torch.float32, [True, False, True], False),
    "without the bias's": (torch.float16, torch.float32, [True, True, False], False),
    "without a weight": (torch.float16, None, [True, True, True], False),
}


@pytest.mark.parametrize(("dtype", "other", "mask", "answered"), BACKWARD.values(), ids=BACKWARD)
def test_the_backward_of_a_group_norm(dtype, other, mask, answered):
    x, w = torch.ones(2, 4, 3, dtype=dtype), None if other is None else torch.ones(4, dtype=other)
    kept = torch.ones(2, 2, dtype=torch.float32 if other == torch.float32 else dtype)
    func = aten.native_group_norm_backward.default
    said = what_is_said(func, [*map(without_data, (x, x, kept, kept, w)), 2, 4, 3, 2, mask], {})
    assert (said is not None) == answered
    if answered:
        made = func(x, x, kept, kept, w, 2, 4, 3, 2, mask)
        assert said == [(tuple(t.shape), t.stride(), t.dtype) for t in made]
        for one, other_way in ((x.mT.contiguous().mT, x), (x, x.mT.contiguous().mT)):
            args = [*map(without_data, (one, other_way, kept, kept, w)), 2, 4, 3, 2, mask]
            assert what_is_said(func, args, {}) is None


# ---- products


def test_linear_layers():
    for shape, weight, bias in product([(), (3,), (4,), (2, 4), (2, 3, 4)], [(5, 4), (5, 3), (4,), (1, 5, 4)],
                                       [None, (5,), (4,), (1,), (2, 5)]):  # fmt: skip
        x, w, b = torch.ones(shape), torch.ones(weight), None if bias is None else torch.ones(bias)
        said = check(aten.linear.default, x, w, b)
        plain = len(weight) == 2 and shape[-1:] == weight[1:] and bias in (None, (5,))
        assert (said is not None) == plain
        if plain:
            assert said[0][0] == (*shape[:-1], 5)
    x, w, b = torch.ones(2, 4), torch.ones(5, 4), torch.ones(5)
    for dtypes in product((torch.float32, torch.float64), repeat=3):
        said = check(aten.linear.default, *(t.to(dtype) for t, dtype in zip((x, w, b), dtypes, strict=True)))
        assert (said is not None) == (len(set(dtypes)) == 1)
    assert check(aten.linear.default, torch.ones(4, 2).mT, w) is None


ATTENTION = {
    # shapes of queries, keys, values and a mask, whether it is causal, and whether the rule answers
    "two batches of heads": ((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7), None, False, True),
    "no heads": ((3, 5, 4), (3, 6, 4), (3, 6, 7), None, False, True),
    "no batch": ((5, 4), (6, 4), (6, 7), None, False, False),
    "another width of keys": ((3, 5, 4), (3, 6, 3), (3, 6, 7), None, False, False),
    "another length of values": ((3, 5, 4), (3, 6, 4), (3, 5, 7), None, False, False),
    "another batch of keys": ((3, 5, 4), (1, 6, 4), (1, 6, 7), None, False, False),
    "another batch of values": ((3, 5, 4), (3, 6, 4), (1, 6, 7), None, False, False),
    "another number of axes": ((1, 3, 5, 4), (3, 6, 4), (3, 6, 7), None, False, False),
    "causal": ((3, 5, 4), (3, 6, 4), (3, 6, 7), None, True, True),
    "a mask": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (5, 6), False, True),
    "a mask for each head": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (3, 5, 6), False, True),
    "a mask of keys": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (1, 6), False, True),
    "a mask of one axis": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (6,), False, False),
    "a mask of other keys": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (5, 5), False, False),
    "a mask of more heads": ((1, 5, 4), (1, 6, 4), (1, 6, 7), (3, 5, 6), False, False),
    "a mask, and causal": ((3, 5, 4), (3, 6, 4), (3, 6, 7), (5, 6), True, False),
}


@pytest.mark.parametrize(("q", "k", "v", "mask", "causal", "answered"), ATTENTION.values(), ids=ATTENTION)
def test_attention(q, k, v, mask, causal, answered):
    func = aten.scaled_dot_product_attention.default
    for dtype in (torch.float32, torch.bool) if mask else (None,):
        seen = None if mask is None else torch.ones(mask, dtype=dtype)
        said = check(func, torch.ones(q), torch.ones(k), torch.ones(v), seen, 0.0, causal)
        assert (said is not None) == answered
        if answered:
            assert said[0][0] == (*q[:-1], v[-1])
    if mask:
        seen = torch.ones(mask, dtype=torch.float64)
        assert check(func, torch.ones(q), torch.ones(k), torch.ones(v), seen, 0.0, causal) is None


def test_dtypes_of_attention():
    x = torch.ones(2, 3, 4)
    for dtypes in product((torch.float32, torch.float64), repeat=3):
        said = check(aten.scaled_dot_product_attention.default, *(x.to(dtype) for dtype in dtypes))
        assert (said is not None) == (len(set(dtypes)) == 1)


@pytest.mark.parametrize("kernel", ["math", "flash", "efficient"])
def test_the_order_of_attention(kernel):
    """A fused kernel's result has the queries' memory format, which torch decides; the reference's is contiguous."""
    plain, turned = (
        torch.empty(2, 3, 5, 4, device="meta"), torch.empty(2, 5, 3, 4, device="meta").transpose(1, 2),
    )  # fmt: skip
    op = overload(aten.scaled_dot_product_attention.default)
    for q in (plain, turned):
        said = registry.output_types(op, {**op.bind([q, plain, plain], {}), "kernel": kernel})
        if q is turned and kernel != "math":
            assert said is None
        else:
            assert said == [((2, 3, 5, 4), (60, 20, 4, 1), torch.float32)]


FUSED = {
    # queries, keys, the layer's width and heads, and whether the rule answers
    "plain": ((2, 5, 8), (2, 5, 8), 8, 2, True),
    "other keys": ((2, 5, 8), (2, 7, 8), 8, 4, True),
    "no batch": ((5, 8), (5, 8), 8, 2, False),
    "another width": ((2, 5, 6), (2, 5, 6), 8, 2, False),
    "heads that don't divide it": ((2, 5, 8), (2, 5, 8), 8, 3, False),
}


@pytest.mark.parametrize(("q", "k", "width", "heads", "answered"), FUSED.values(), ids=FUSED)
def test_fused_attention_layers(q, k, width, heads, answered):
    q, k = torch.empty(q, device="meta"), torch.empty(k, device="meta")
    own = [torch.empty(size, device="meta") for size in ((3 * width, width), (3 * width,), (width, width), (width,))]
    for weights, averaged in product((False, True), repeat=2):
        args = [q, k, k, width, heads, *own, None, weights, averaged]
        said = what_is_said(aten._native_multi_head_attention.default, args, {})
        assert (said is not None) == answered
        if answered:
            scores = (2, 5, k.shape[1]) if averaged else (2, heads, 5, k.shape[1])
            assert [size for size, *_ in said] == [(2, 5, width), scores if weights else (0,)]


GROUPED = {
    # shapes of rows and of matrices, of ends, and whether the rule answers
    "plain": ((6, 4), (2, 4, 8), 2, True),
    "a batch, whose groups need no ends": ((2, 6, 4), (2, 4, 8), 2, False),
    "rows of four axes": ((1, 2, 6, 4), (2, 4, 8), 2, False),
    "another width": ((6, 8), (2, 4, 8), 2, False),
    "ends of more groups": ((6, 4), (2, 4, 8), 3, False),
    "rows that begin anywhere": ((6, 3), (2, 3, 8), 2, False),
    "columns that begin anywhere": ((6, 4), (2, 4, 6), 2, False),
}


@pytest.mark.parametrize(("x", "w", "ends", "answered"), GROUPED.values(), ids=GROUPED)
def test_grouped_products(x, w, ends, answered):
    ends = torch.full((ends,), x[-2], dtype=torch.int32)
    said = check(aten._grouped_mm.default, torch.ones(x), torch.ones(w), ends)
    assert (said is not None) == answered
    if answered:
        assert said[0][0] == (6, 8)
        assert check(aten._grouped_mm.default, torch.ones(x), torch.ones(w), ends.long()) is None
        assert check(aten._grouped_mm.default, torch.ones(x).double(), torch.ones(w).double(), ends) is None
        assert check(aten._grouped_mm.default, torch.ones(x).half(), torch.ones(w), ends) is None
        assert check(aten._grouped_mm.default, torch.ones(x), torch.ones(w)) is None


SPLIT = {
    # rows, columns, groups' ends, and the size and strides of what comes out
    "rows": ((6, 4), (2, 4, 5), 2, ((6, 5), (8, 1))),
    "columns": ((2, 5, 4), (4, 6), 2, ((5, 6), (8, 1))),
    "the inner axis": ((5, 8), (8, 3), 4, ((4, 5, 3), (20, 4, 1))),
    "nothing": ((2, 6, 4), (2, 4, 8), None, ((2, 6, 8), (48, 8, 1))),
}


@pytest.mark.parametrize(("x", "w", "groups", "expected"), SPLIT.values(), ids=SPLIT)
def test_what_groups_of_a_product_split(x, w, groups, expected):
    """In rows of a multiple of 16 bytes, as torch requires of its arguments."""
    ends = torch.full((groups,), 6, dtype=torch.int32) if groups else None
    columns = torch.ones(*w[:-2], w[-1], w[-2]).mT
    assert check(aten._grouped_mm.default, torch.ones(x), columns, ends) == [(*expected, torch.float32)]
    assert torch._grouped_mm(torch.ones(x), columns, ends).stride() == expected[1]
    assert check(aten._grouped_mm.default, torch.ones(x), columns.double(), ends) is None
    wrong = torch.ones(2, dtype=torch.int32) if ends is None else None if groups == 4 else ends.repeat(2)
    assert check(aten._grouped_mm.default, torch.ones(x), columns, wrong) is None


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")  # torch's own
@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16], ids=str)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_layers_that_are_quantized_as_they_run(dtype, relu, lead):
    weight = torch.ones(5, 4)
    if dtype == torch.qint8:
        packed = torch.ops.quantized.linear_prepack(torch.quantize_per_tensor(weight, 0.1, 0, dtype), None)
    else:
        packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
    name = "linear_relu_dynamic" if relu else "linear_dynamic"
    func = getattr(torch.ops.quantized, name).default
    x = torch.ones(*lead, 4)
    if not lead:
        x = x[None]
    said = what_is_said(func, [without_data(x), packed], {})
    made = func(x, packed)
    assert said == [(tuple(made.shape), made.stride(), made.dtype)]
    assert said[0][0] == (*x.shape[:-1], 5)


# ---- bags


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("mode", [0, 1, 2], ids=["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [-1, 0, 3])
@pytest.mark.parametrize("weighed", [False, True])
def test_bags_of_embeddings(dtype, mode, padding, weighed):
    """Seven indices in three bags of width 5: the bags, and what a CPU saves for backward."""
    table, indices = torch.ones(4, 5, dtype=dtype), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    weights = torch.ones(7, dtype=dtype) if weighed else None
    for offsets in (torch.tensor([0, 2, 5]), torch.tensor([0, 7, 7])):
        for name in ("_embedding_bag", "_embedding_bag_forward_only", "embedding_bag"):
            func = getattr(aten, name)
            args = [table, indices, offsets, False, mode, False, weights, False, padding]
            if name == "embedding_bag":
                func, args = func.default, args[:-1]
            else:
                func = func.default
            assert (check(func, *args) is not None) == works(func, *args), name


BAGS = {
    # what is asked otherwise, and why torch has to be asked
    "a row of bags": {"indices": torch.zeros(2, 3, dtype=torch.long)},
    "offsets of another dtype": {"offsets": torch.tensor([0, 2], dtype=torch.int32)},
    "the last offset is the end": {"last": True},
    "a table in columns": {"table": torch.ones(5, 4).t()},
    "weights of another dtype": {"weights": torch.ones(7, dtype=torch.float64)},
    "weights of a mean": {"weights": torch.ones(7), "mode": 1},
    "a table of one axis": {"table": torch.ones(4)},
}


@pytest.mark.parametrize("other", BAGS.values(), ids=BAGS)
def test_bags_that_torch_is_asked_for(other):
    plain = {"table": torch.ones(4, 5), "indices": torch.tensor([0, 1, 2, 3, 0, 1, 2]), "last": False, "mode": 0,
             "offsets": torch.tensor([0, 2, 5]), "weights": None}  # fmt: skip
    how = {**plain, **other}
    args = [how["table"], how["indices"], how["offsets"], False, how["mode"], False, how["weights"], how["last"], -1]
    assert what_is_said(aten._embedding_bag.default, [without_data(a) for a in args], {}) is None


# ---- elements


def test_softmax():
    for shape, dim in product([(), (3,), (2, 3)], range(-3, 3)):
        for func in (aten.softmax.int, aten.log_softmax.int):
            answers(func, torch.ones(shape), dim)
        for func in (aten._softmax.default, aten._log_softmax.default):
            answers(func, torch.ones(shape), dim, False)
    x = torch.ones(2, 3)
    assert check(aten.softmax.int, x, 1, torch.float64) is None
    assert check(aten.softmax.int, torch.ones(3, 2).t(), 1) is None
    assert what_is_said(aten._softmax.default, [without_data(x.half()), 1, True], {}) is None


def test_dropout():
    x = torch.ones(2, 3)
    for p, train in product([-0.5, 0.0, 0.5, 1.0, 1.5], [False, True]):
        said = check(aten.dropout.default, x, p, train)
        assert (said is not None) == (train and 0 < p <= 1)
    for other in (x.long(), torch.ones(3, 2).t()):
        assert check(aten.dropout.default, other, 0.5, True) is None
    assert check(aten.feature_dropout.default, torch.ones(2, 3, 4), 0.5, True) is None


def test_what_is_computed_of_each_element():
    plain, turned = torch.ones(2, 3), torch.ones(3, 2).t()
    assert check(aten.gelu.default, plain) == check(aten.relu.default, plain) == [((2, 3), (3, 1), torch.float32)]
    for other in (turned, plain.long(), plain.bool()):
        assert check(aten.relu.default, other) is None
    assert what_is_said(aten.gelu.default, [without_data(plain)], {"approximate": "tanh"}) is not None
    assert what_is_said(aten.gelu.default, [without_data(plain)], {"approximate": "other"}) is None


SHAPES = [(), (1,), (2,), (3,), (1, 1), (2, 1), (1, 3), (2, 3), (4, 1, 3), (4, 2, 1), (0,), (0, 3)]


@pytest.mark.parametrize("x", SHAPES, ids=str)
def test_sums_that_broadcast(x):
    for y in SHAPES:
        answers(aten.add.Tensor, torch.ones(x), torch.ones(y))
        said = answers(aten.gt.Tensor, torch.ones(x), torch.ones(y))
        if said is not None:
            assert said[0][0] == registry.broadcast(x, y) == tuple(torch.broadcast_shapes(x, y))
        else:
            assert registry.broadcast(x, y) is None


def test_two_tensors_that_torch_is_asked_for():
    x = torch.ones(2, 3)
    for other in (x.double(), x.long(), torch.ones(3, 2).t(), torch.ones(2, 6)[:, ::2]):
        assert check(aten.mul.Tensor, x, other) is None
        assert check(aten.mul.Tensor, other, x) is None
    for number, answered in ((2, True), (2.5, True), (True, False)):
        assert (what_is_said(aten.mul.Scalar, [without_data(x), number], {}) is not None) == answered
    assert what_is_said(aten.div.Tensor_mode, [without_data(x), without_data(x)], {"rounding_mode": "floor"}) is None
    assert what_is_said(aten.pow.Scalar, [2, without_data(x)], {}) is None


def test_joining():
    for sizes in product([(2, 3), (2, 1), (1, 3), (3, 3), (2,), (0, 3)], repeat=2):
        for dim in range(-3, 3):
            tensors = [torch.ones(size) for size in sizes]
            if (0,) not in sizes and len({len(size) for size in sizes}) == 1:
                answers(aten.cat.default, tensors, dim)
            else:
                assert check(aten.cat.default, tensors, dim) is None
    three = [torch.ones(2, 3, n, 2) for n in (1, 2, 4)]
    assert answers(aten.cat.default, three, 2)[0][0] == answers(aten.cat.default, three, -2)[0][0] == (2, 3, 7, 2)
    x = torch.ones(2, 2)
    for other in (x.double(), x.t().expand(2, 2)[:, :1].expand(2, 2)):
        assert check(aten.cat.default, [x, other], 0) is None
        assert check(aten.cat.default, [other, x], 0) is None


def test_pads():
    x = torch.ones(2, 3, 4)
    for before, after in product(range(-1, 3), repeat=2):
        said = check(aten.constant_pad_nd.default, x, [before, after])
        grows = min(before, after) >= 0 and (before or after)
        assert (said is not None) == bool(grows)
        if grows:
            assert said[0][0] == (2, 3, 4 + before + after)
    # the last axis first: 1 and 2, then 0 and 3, then 4 and 0
    assert answers(aten.constant_pad_nd.default, x, [1, 2, 0, 3, 4, 0])[0][0] == (2 + 4, 3 + 3, 4 + 3)
    assert check(aten.constant_pad_nd.default, x, [1]) is None
    assert check(aten.constant_pad_nd.default, x, [1] * 8) is None
    assert check(aten.constant_pad_nd.default, x, []) is None
    assert check(aten.constant_pad_nd.default, torch.ones(2, 4, 3).mT, [1, 1]) is None
    assert what_is_said(aten.pad.default, [without_data(x), [1, 1], "reflect"], {}) is None
    assert check(aten.pad.default, x, [1, 1], "constant") is not None


@pytest.mark.parametrize("keep", [False, True])
def test_reductions(keep):
    x = torch.ones(2, 3, 4)
    for dims in ([], *([d] for d in range(-4, 4)), *map(list, product(range(-3, 3), repeat=2)), [0, 1, 2], [0, 1, 3]):
        for func in (aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default):
            answers(func, x, dims, keep)
    for func in (aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default):
        assert answers(func, x, 1, keep) == answers(func, x, [1], keep)  # one axis, not in a list
    for other in (x.long(), x[:0]):
        assert check(aten.sum.dim_IntList, other, [1], keep) is None
    assert check(aten.sum.dim_IntList, torch.ones(()), [0], keep) is None
    assert what_is_said(aten.sum.dim_IntList, [without_data(x), [1], keep], {"dtype": torch.float64}) is None


# ---- recurrent layers


CELLS = {"lstm": (nn.LSTM, 2), "gru": (nn.GRU, 1), "rnn_tanh": (nn.RNN, 1)}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    ("layers", "both", "first"), [(1, False, False), (2, False, True), (1, True, True), (2, True, False)]
)
def test_recurrent_layers(name, layers, both, first):
    """Five steps of three sequences, widths 4 and 6."""
    make, count = CELLS[name]
    layer = make(4, 6, layers, bidirectional=both, batch_first=first).requires_grad_(False)
    x = torch.zeros((3, 5, 4) if first else (5, 3, 4))
    rows = layers * (1 + both)
    func = getattr(aten, name).input

    def run(x, shape):
        state = [torch.zeros(shape) for _ in range(count)]
        return check(func, x, state if count > 1 else state[0], list(layer.parameters()), True, layers, 0.0, False,
                     both, first)  # fmt: skip

    said = run(x, (rows, 3, 6))
    assert [size for size, *_ in said] == [(*x.shape[:2], 6 * (1 + both)), *[(rows, 3, 6)] * count]
    for shape in ((rows + 1, 3, 6), (rows, 2, 6), (rows, 3, 5), (3, 6)):
        assert run(x, shape) is None
    assert run(x[..., :3], (rows, 3, 6)) is None
    assert run(x[0], (rows, 3, 6)) is None
    assert run(x.double(), (rows, 3, 6)) is None
    for weight in layer.parameters():  # one of them of another dtype
        weight.data = weight.data.double()
        assert run(x, (rows, 3, 6)) is None
        weight.data = weight.data.float()
    assert run(x, (rows, 3, 6)) == said


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("both", [False, True])
def test_packed_sequences(name, both):
    make, count = CELLS[name]
    layer = make(4, 6, bidirectional=both).requires_grad_(False)
    packed = nn.utils.rnn.pack_sequence([torch.zeros(n, 4) for n in (5, 3, 2)])
    state = [torch.zeros(1 + both, 3, 6) for _ in range(count)]
    args = [packed.data, packed.batch_sizes, state if count > 1 else state[0], list(layer.parameters()), True, 1, 0.0,
            False, both]  # fmt: skip
    said = check(getattr(aten, name).data, *args)
    assert [size for size, *_ in said] == [(10, 6 * (1 + both)), *[(1 + both, 3, 6)] * count]


def test_projections():
    layer = nn.LSTM(4, 6, proj_size=2, bidirectional=True).requires_grad_(False)
    state = [torch.zeros(2, 3, 2), torch.zeros(2, 3, 6)]
    said = check(
        aten.lstm.input, torch.zeros(5, 3, 4), state, list(layer.parameters()), True, 1, 0.0, False, True, False
    )
    assert [size for size, *_ in said] == [(5, 3, 4), (2, 3, 2), (2, 3, 6)]


WORKSPACES = [
    # widths of the input and of the hidden layer: rows of whole cache lines (16 floats), of which none are 256 floats,
    # or a multiple of that, long: that of 4·64 gates, of 4·192, of 256 inputs
    (1, 1), (15, 4), (16, 16), (17, 4), (16, 64), (63, 63), (16, 65), (256, 3), (255, 3), (240, 3), (257, 3), (10, 192),
    (256, 64), (512, 128), (3, 256), (496, 3), (100, 300),
]  # fmt: skip


@pytest.mark.parametrize(("width", "hidden"), WORKSPACES)
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (3, 2), (2, 5)])
def test_workspaces_of_fused_lstms(width, hidden, steps, batch):
    """With autograd; without it the kernel keeps none."""
    torch._C._set_mkldnn_enabled(True)
    x = torch.rand(steps, batch, width)
    weights = [torch.rand(4 * hidden, n) for n in (width, hidden)]
    own = [*weights, *[torch.rand(4 * hidden)] * 2]
    states = [torch.zeros(batch, hidden)] * 2
    for wanted in (True, False):
        args = (x, *own, *states, False, [], 2, hidden, 1, True, False, False, wanted)
        with torch.set_grad_enabled(wanted):
            *made, kept = aten.mkldnn_rnn_layer.default(*args)
        said = what_is_said(aten.mkldnn_rnn_layer.default, [without_data(a) for a in args], {})
        assert said[:3] == [(tuple(t.shape), t.stride(), t.dtype) for t in made]
        assert said[3] == ((0 if kept is None else kept.numel(),), (1,), torch.uint8)
        assert (kept is None) != wanted
    torch._C._set_mkldnn_enabled(False)


# ---- histograms, and ways to choose


def test_combinations():
    for n, r, again in product(range(5), range(6), (False, True)):
        said = check(aten.combinations.default, torch.rand(n), r, again)
        assert (said is not None) == (r > 0)
    assert check(aten.combinations.default, torch.rand(3), 2, True)[0][0] == (6, 2)
    assert check(aten.combinations.default, torch.rand(4), 3, False)[0][0] == (4, 3)
    assert check(aten.combinations.default, torch.rand(2, 3), 2, False) is None


def test_reflections():
    for m, n, batch in product(range(4), range(4), ((), (2,), (2, 3))):
        x = torch.rand(*batch, m, n)
        said = check(aten.geqrf.default, x, order=False)
        assert [size for size, *_ in said] == [(*batch, m, n), (*batch, min(m, n))]
        real = aten.geqrf.default(x)
        for tensor, (size, stride, _) in zip(real, said, strict=True):
            steps = zip(size, stride, tensor.stride(), strict=True)
            assert all(step == there for length, step, there in steps if length > 1 and tensor.numel())


def test_bins():
    x = torch.rand(5)
    for bins in range(-1, 4):
        said = answers(aten.histogram.bin_ct, x, bins)
        assert said is None or [size for size, *_ in said] == [(bins,), (bins + 1,)]
    for edges in range(1, 5):
        said = answers(aten.histogram.bins_tensor, x, torch.arange(float(edges)))
        assert said is None or [size for size, *_ in said] == [(edges - 1,), (edges,)]


@pytest.mark.parametrize("edges", [(1,), (2,), (3,), (1, 2), (2, 1), (2, 3), (3, 2, 4)])
def test_bins_of_several_axes(edges):
    given = [torch.arange(float(n)) for n in edges]
    counts = [n - 1 for n in edges]
    for axes in range(1, 4):
        x = torch.rand(5, axes)
        said = check(aten._histogramdd_from_bin_tensors.default, x, given)
        assert (said is not None) == (axes == len(edges) and min(counts) > 0)
        assert said is None or said[0][0] == tuple(counts)
        if min(counts) > 0:
            said = check(aten._histogramdd_from_bin_cts.default, x, counts)
            assert (said is not None) == (axes == len(edges))
            assert said is None or said[0][0] == tuple(counts)
            said = check(aten._histogramdd_bin_edges.default, x, counts)
            assert (said is not None) == (axes == len(edges))
            assert said is None or [size for size, *_ in said] == [(n,) for n in edges]


# ---- what rules are made of


def test_outputs_without_gaps():
    for size in [(), *product([0, 1, 2, 3], repeat=3), (2, 3, 4, 5)]:
        made = torch.empty(size, dtype=torch.float16)
        assert registry.packed(size, torch.float16) == (size, made.stride(), torch.float16)
    for size in [*product([1, 2, 3], repeat=4), (2, 3, 4, 5), (2, 3, 4, 5, 6)]:
        memory = torch.channels_last if len(size) == 4 else torch.channels_last_3d
        made = torch.empty(size, memory_format=memory)
        said = registry.ordered(size, torch.float32, True)
        # a tensor of one position or channel has its strides by another convention
        if min(size) > 1:
            assert said == (size, made.stride(), torch.float32)
        assert torch.empty_strided(size, said[1]).is_contiguous(memory_format=memory)
        assert registry.ordered(size, torch.float32, False) == registry.packed(size, torch.float32)


@pytest.mark.parametrize(
    ("value", "axes", "expected"),
    [([2, 3], 2, [2, 3]), ([2], 2, [2, 2]), (2, 3, [2, 2, 2]), ((2, 3), 2, [2, 3]), ((2,), 3, [2, 2, 2]),
     ([2, 3], 3, [2, 3]), ([], 2, [])],
)  # fmt: skip
def test_settings_by_axis(value, axes, expected):
    assert registry.per_axis(value, axes) == expected


def test_tensors_that_are_ready():
    x, turned = torch.ones(2, 3), torch.ones(3, 2).t()
    assert registry.ready(x)
    assert registry.ready(x, None, torch.ones(4))
    assert not registry.ready(turned)
    assert not registry.ready(x, turned)
    assert not registry.ready(turned, x)
    assert not registry.ready(x, None, x.double())
    assert not registry.ready(x, x, turned)


def test_channels_that_are_last():
    image, volume = torch.ones(2, 3, 4, 5), torch.ones(2, 3, 4, 5, 6)
    late = volume.to(memory_format=torch.channels_last_3d)
    assert registry.channels_last(last(image))
    assert registry.channels_last(late)
    assert registry.channels_last(image, last(image))
    assert registry.channels_last(last(image), image)
    assert not registry.channels_last(image)
    assert not registry.channels_last(image, volume)
    assert not registry.channels_last(last(image), image.double())
    assert not registry.channels_last(image.mT)
    assert not registry.channels_last(last(torch.ones(2, 1, 4, 5))), "one channel: rows as well"
    assert not registry.channels_last(torch.ones(3, 2).t())
