"""Times derived by hand, on devices with round numbers."""

from dataclasses import replace

import pytest

import cnncost
from cnncost.devices import Device, Level, Rate, find
from cnncost.errors import DeviceError
from cnncost.graph import Call, Graph, Node, OpSpec, Scope, Storage, TensorType, Value
from cnncost.passes.roofline import Predicted, roofline

# 1 TFLOP/s, 10 GB/s: the ridge is at 100 FLOP/B
CPU = Device("cpu", "a CPU", "cpu", {"float32": 1e12, "bfloat16": 4e12}, 1e10, "this test", launch=1e-6)
GPU = replace(CPU, name="gpu", kind="gpu", launch=1e-6)


def one(spec, roles=None, inplace=False):
    """A graph of a single op; the first input is the model's, others are parameters unless `roles` says otherwise."""
    n = len(spec.inputs)
    roles = roles or ("input", *["parameter"] * (n - 1))
    values = [Value(i, t, i, role) for i, (t, role) in enumerate(zip(spec.inputs, roles, strict=True))]
    values += [Value(n + j, t, 0 if inplace else n + j, "activation") for j, t in enumerate(spec.outputs)]
    sizes = [v.type.nbytes for v in values if not (inplace and v.role == "activation")]
    return Graph(
        tuple(values),
        (Node(spec, tuple(range(n)), tuple(range(n, len(values))), 0, f"aten.{spec.kind}"),),
        (Scope("", "Net", calls=1),),
        (Call(0, None, 0, (), ()),),
        tuple(Storage(i, size, None if i < n else 0, None) for i, size in enumerate(sizes)),
        (0,),
        (len(values) - 1,),
    )


def t(*shape, dtype="float32"):
    return TensorType(shape, dtype)


def linear(rows, i, o, dtype="float32"):
    return OpSpec(
        "linear", (t(rows, i, dtype=dtype), t(o, i, dtype=dtype)), (t(rows, o, dtype=dtype),), (("bias", False),)
    )


def relu(*shape):
    return OpSpec("pointwise", (t(*shape),), (t(*shape),), (("fn", "relu"),))


CONV = OpSpec(
    "conv", (t(1, 256, 16, 16), t(256, 256, 3, 3)), (t(1, 256, 16, 16),),
    (("kernel", (3, 3)), ("stride", (1, 1)), ("padding", (1, 1)), ("dilation", (1, 1)), ("groups", 1),
     ("transposed", False), ("output_padding", (0, 0)), ("bias", False)),
)  # fmt: skip
CONV_FLOPS = 2 * 256 * 256 * 9 * 16 * 16  # 301,989,888
CONV_BYTES = 4 * (256 * 256 + 256 * 256 * 9 + 256 * 256)  # x, w, y: 2,883,584


def test_a_product_of_large_matrices_is_bound_by_compute():
    # 2·1000³ FLOPs in 2 ms; 3·4·10⁶ bytes in 1.2 ms
    found = roofline(one(linear(1000, 1000, 1000)), CPU)
    (time,) = found.nodes
    assert (time.flops, time.nbytes) == (2_000_000_000, 12_000_000)
    assert time.intensity == pytest.approx(166.667, abs=1e-3)
    assert time.seconds == pytest.approx(2e-3 + 1e-6)
    assert time.bound == found.total.bound == "compute"


def test_a_matrix_times_a_vector_is_bound_by_memory():
    # 2·10⁶ FLOPs in 2 µs; 4·(10⁶ + 2000) bytes in 400.8 µs
    (time,) = roofline(one(linear(1, 1000, 1000)), CPU).nodes
    assert time.seconds == pytest.approx(400.8e-6 + 1e-6)
    assert time.bound == "memory"


def test_a_small_op_is_bound_by_its_launch():
    # 8 elements: 64 bytes in 6.4 ns
    (time,) = roofline(one(relu(8)), CPU).nodes
    assert time.seconds == pytest.approx(1e-6 + 6.4e-9)
    assert time.bound == "launch"


def test_at_the_ridge_compute_and_memory_take_the_same_time():
    # M=N=K=n: 2n³ FLOPs and 12n² bytes are 100 FLOP/B at n = 600
    (time,) = roofline(one(linear(600, 600, 600)), CPU).nodes
    assert time.compute == pytest.approx(time.memory)
    assert time.bound == "compute"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(linear(1000, 1000, 1000), 2e-3, id="compute"),
        pytest.param(linear(1, 1000, 1000), 400.8e-6, id="memory"),
        pytest.param(relu(8), 1e-6, id="launch"),
    ],
)
def test_on_a_gpu_launches_overlap_with_work(spec, expected):
    assert roofline(one(spec), GPU).total.seconds == pytest.approx(expected)


def test_a_view_takes_no_time_not_even_a_launch():
    view = OpSpec("layout", (t(8, 8),), (t(64),), (("copy", False), ("moves", None)))
    found = roofline(one(view, inplace=True), CPU)
    assert found.total == Predicted(ops=1)
    assert found.nodes[0].bound == found.total.bound == ""
    assert found.nodes[0].intensity is None


def test_a_view_takes_the_launch_time_that_a_device_states_for_views():
    view = OpSpec("layout", (t(8, 8),), (t(64),), (("copy", False), ("moves", None)))
    device = replace(CPU, rates={"layout": Rate({}, 2e-6)})
    found = roofline(one(view, inplace=True), device)
    assert (found.total.seconds, found.total.bound, found.total.flops) == (2e-6, "launch", 0)


def test_a_copy_takes_the_time_of_its_bytes():
    """No FLOPs; reads and writes 2,500 elements: 20 kB in 2 µs."""
    copy = OpSpec("layout", (t(50, 50),), (t(2500),), (("copy", True), ("moves", None)))
    (time,) = roofline(one(copy), CPU).nodes
    assert (time.flops, time.nbytes, time.peak, time.compute) == (0, 20_000, 0.0, 0.0)
    assert (time.seconds, time.bound, time.intensity) == (pytest.approx(3e-6), "memory", 0.0)


def test_flops_without_bytes():
    """A rule with FLOPs and no bytes: the op takes the time of its FLOPs."""
    kind = "cnncost_test_roofline::of_nothing"
    cnncost.rule(kind, replace=True)(
        lambda spec: cnncost.cost(spec, cnncost.flops("f", 3, "n", 10**6), read=0, written=0)
    )
    (time,) = roofline(one(OpSpec(kind, (t(4),), (t(4),))), CPU).nodes
    assert (time.nbytes, time.memory, time.bound) == (0, 0.0, "compute")
    assert time.seconds == pytest.approx(1e-6 + 3e6 / 1e12)


def test_another_dtype_changes_peak_and_bytes_but_not_flops():
    # bfloat16: 2·10⁹ FLOPs at 4 T in 0.5 ms; 6·10⁶ bytes in 0.6 ms: now memory-bound
    (time,) = roofline(one(linear(1000, 1000, 1000)), CPU, "bfloat16").nodes
    assert (time.flops, time.nbytes) == (2_000_000_000, 6_000_000)
    assert time.seconds == pytest.approx(0.6e-3 + 1e-6)
    assert (time.dtype, time.bound) == ("bfloat16", "memory")


FORMATS = {
    # the dtypes of the inputs and of the output, and the format whose peak applies
    "a cast": (("float32",), "bfloat16", "float32"),
    "a cast back": (("bfloat16",), "float32", "bfloat16"),
    "a choice by whole numbers": (("int64", "bfloat16"), "bfloat16", "bfloat16"),
    "two formats": (("bfloat16", "float32"), "float32", "bfloat16"),
    "floats made of whole numbers": (("int64",), "float32", "float32"),
}


@pytest.mark.parametrize(("given", "made", "expected"), FORMATS.values(), ids=FORMATS)
def test_the_format_of_an_op_is_that_of_its_first_floats(given, made, expected):
    attrs = (("fn", "exp"),)
    spec = OpSpec("pointwise", tuple(t(8, dtype=dtype) for dtype in given), (t(8, dtype=made),), attrs)
    (time,) = roofline(one(spec), CPU).nodes
    assert (time.dtype, time.peak) == (expected, CPU.flops[expected])


def test_tf32_computes_on_four_bytes_and_int8_on_one():
    device = replace(CPU, flops={"tf32": 8e12, "int8": 16e12})
    tf32 = roofline(one(linear(1000, 1000, 1000)), device, "tf32").nodes[0]
    int8 = roofline(one(linear(1000, 1000, 1000)), device, "int8").nodes[0]
    assert (tf32.nbytes, int8.nbytes) == (12_000_000, 3_000_000)
    assert (tf32.compute, int8.compute) == (pytest.approx(0.25e-3), pytest.approx(0.125e-3))
    assert int8.flops == 2_000_000_000  # as many as with floats


def test_integers_keep_their_size_when_floats_change():
    # an embedding of 4 rows of 8: it reads 4 indices of 8 bytes and 32 elements, and writes 32
    lookup = OpSpec("gather", (t(100, 8), t(4, dtype="int64")), (t(4, 8),), (("fn", "embedding"),))
    graph = one(lookup, ("parameter", "input"))
    assert roofline(graph, CPU).total.nbytes == 4 * 8 + 2 * 32 * 4
    assert roofline(graph, CPU, "bfloat16").total.nbytes == 4 * 8 + 2 * 32 * 2


def test_a_dtype_without_a_ceiling_is_an_error_that_names_those_there_are():
    with pytest.raises(DeviceError, match=r"device cpu: no ceiling for float64; it has float32, bfloat16"):
        roofline(one(linear(2, 2, 2, "float64")), CPU)


def test_an_op_without_a_rule_is_left_out_and_counted():
    found = roofline(one(OpSpec("cnncost_test::unknown", (t(4),), (t(4),))), CPU)
    assert (found.unknown, found.total, found.nodes) == (1, Predicted(unknown=1), (None,))


INTEGERS = OpSpec("matmul", (t(10, 20, dtype="int8"), t(20, 30, dtype="int8")), (t(10, 30, dtype="int32"),), (
    ("batch", 1), ("m", 10), ("k", 20), ("n", 30), ("bias", False),
))  # fmt: skip


def test_products_of_integers_take_time_at_their_own_peak():
    """2·10·20·30 operations at 1 G a second take 12 µs; 200 + 600 bytes and 4·300 take 0.2 µs."""
    device = replace(CPU, flops={**CPU.flops, "int8": 1e9})
    found = roofline(one(INTEGERS), device)
    (time,) = found.nodes
    assert (time.flops, time.compute, time.bound) == (0, pytest.approx(12e-6), "compute")
    assert (time.integers, time.missing, found.partial) == (time.compute, "", False)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_without_a_peak_for_integers_their_time_is_a_lower_bound(dtype):
    found = roofline(one(INTEGERS), CPU, dtype)
    (time,) = found.nodes
    assert (time.missing, time.compute, found.missing, found.unknown) == ("int8", 0.0, {"int8": 1}, 0)
    assert found.partial
    assert found.total.unknown == 1


def test_a_kind_that_does_not_reach_the_peak_has_its_own_rate_and_launch():
    attrs = {"fn": "max", "kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil": False}
    pool = OpSpec("pool", (t(1, 64, 100, 100),), (t(1, 64, 50, 50),), tuple(attrs.items()))
    device = replace(CPU, rates={"pool": Rate({"any": 1e9}, 5e-6)})
    # 64·2500·3 comparisons at 1 GFLOP/s: 480 µs; 4·64·12,500 bytes: 320 µs
    (time,) = roofline(one(pool), device).nodes
    assert time.seconds == pytest.approx(480e-6 + 5e-6)


def test_working_sets_that_fit_in_a_cache_move_faster():
    cached = replace(CPU, caches=(Level(1 << 20, 1e11), Level(1 << 24, 5e10)))
    sizes = {2**10: 1e11, 2**17: 1e11, 2**17 + 1: 5e10, 2**21: 5e10, 2**21 + 1: 1e10}  # elements: 8 bytes each
    for elements, bandwidth in sizes.items():
        (time,) = roofline(one(relu(elements)), cached).nodes
        assert time.memory == pytest.approx(8 * elements / bandwidth), elements


def test_weights_come_from_the_level_that_holds_all_of_the_model():
    """Each pass reads all weights once, so a small layer's weights are evicted from the cache before the next pass."""
    cached = replace(CPU, caches=(Level(1 << 16, 1e11),))
    small = linear(1, 64, 64)
    alone = one(small)
    (time,) = roofline(alone, cached).nodes
    assert time.memory == pytest.approx((64 * 64 * 4 + 2 * 64 * 4) / 1e11)
    more = Value(3, t(1 << 20), 3, "parameter")
    model = replace(alone, values=(*alone.values, more), storages=(*alone.storages, Storage(3, 1 << 22, None, None)))
    (time,) = roofline(model, cached).nodes
    assert time.memory == pytest.approx(64 * 64 * 4 / 1e10 + 2 * 64 * 4 / 1e11)


WEIGHTS_IN_ANOTHER_DTYPE = {
    # dtype of the model's first parameter, the format, and whether 2¹⁶ bytes of weights then fit in a cache of 2¹⁵
    "floats in half": ("float32", "bfloat16", True),
    "floats as they are": ("float32", None, False),
    "floats in tf32, of four bytes": ("float32", "tf32", False),
    "halves in half": ("bfloat16", "bfloat16", False),
    "halves in floats": ("bfloat16", "float32", False),
    "no floats": ("int64", "bfloat16", False),
}


@pytest.mark.parametrize(("stored", "dtype", "within"), WEIGHTS_IN_ANOTHER_DTYPE.values(), ids=WEIGHTS_IN_ANOTHER_DTYPE)
def test_weights_come_from_the_level_that_holds_them_in_the_assumed_dtype(stored, dtype, within):
    device = replace(CPU, flops={**CPU.flops, "tf32": 1e12}, caches=(Level(1 << 15, 1e11),))
    weight = t(2**16 // TensorType((), stored).nbytes, dtype=stored)
    add = OpSpec("pointwise", (t(1), weight), (t(1),), (("fn", "add"),))
    (time,) = roofline(one(add), device, dtype).nodes
    x = 2 if dtype == "bfloat16" else 4  # bytes of the single float that is read and written
    kept = stored == "int64" or dtype is None
    item = TensorType((), stored).nbytes if kept else TensorType((), "float32" if dtype == "tf32" else dtype).nbytes
    assert time.memory == pytest.approx(weight.numel * item / (1e11 if within else 1e10) + 2 * x / 1e11)


def test_copied_convolution_operands_are_read_and_written_once_more():
    plain, copying = (roofline(one(CONV), replace(CPU, copies=flag)).nodes[0] for flag in (False, True))
    assert (plain.flops, plain.nbytes, plain.copies) == (CONV_FLOPS, CONV_BYTES, 0)
    assert copying.copies == pytest.approx(2 * CONV_BYTES / 1e10)
    assert copying.seconds == pytest.approx(plain.seconds + 2 * CONV_BYTES / 1e10)


def test_a_product_of_one_row_is_not_packed():
    device = replace(CPU, copies=True)
    assert roofline(one(linear(1, 1000, 500)), device).nodes[0].copies == 0
    assert roofline(one(linear(2, 1000, 500)), device).nodes[0].copies == pytest.approx(2 * 4 * 1000 * 500 / 1e10)


def test_new_pages_cost_only_for_large_new_outputs():
    device = replace(CPU, fresh=Level(1 << 20, 1e9))
    large, exact = relu((1 << 18) + 1), relu(1 << 18)
    assert roofline(one(large), device).nodes[0].pages == pytest.approx(4 * ((1 << 18) + 1) / 1e9)
    assert roofline(one(exact), device).nodes[0].pages == 0
    assert roofline(one(large, inplace=True), device).nodes[0].pages == 0


def test_each_copied_operand_moves_at_the_level_that_holds_it_twice():
    """A block is read and written: twice its bytes. Weights come from the level that holds all of the model's."""
    x, w = 4 * 256 * 16 * 16, 4 * 256 * 256 * 9  # bytes of the input (as of the output), and of the weights
    for size, level in ((2 * x, 1e11), (2 * x - 1, 1e10)):
        device = replace(CPU, copies=True, caches=(Level(size, 1e11),))
        expected = 2 * (2 * x / level + 2 * w / 2 / 1e10)
        assert roofline(one(CONV), device).nodes[0].copies == pytest.approx(expected)


def test_a_bias_is_not_copied():
    """The output's copy moves at the bandwidth for its own size, not for that of the weights."""
    biased = OpSpec(CONV.kind, (*CONV.inputs, t(256)), CONV.outputs, (*CONV.attrs[:-1], ("bias", True)))
    device = replace(CPU, copies=True, caches=(Level(1 << 20, 1e11),))
    x, w = 4 * 256 * 16 * 16, 4 * 256 * 256 * 9
    assert roofline(one(biased), device).nodes[0].copies == pytest.approx(2 * (2 * x / 1e11 + w / 1e10))


def test_a_product_with_only_one_tensor_is_not_packed():
    """`affine_grid`: the locations that it multiplies by are not an input tensor."""
    attrs = (("batch", 8), ("bias", False), ("k", 3), ("m", 400), ("n", 2))
    grid = OpSpec("matmul", (t(8, 2, 3),), (t(8, 20, 20, 2),), attrs)
    assert roofline(one(grid), replace(CPU, copies=True)).nodes[0].copies == 0


def test_only_the_larger_factor_of_a_product_is_packed():
    device = replace(CPU, copies=True, caches=(Level(1 << 16, 1e11),))
    wide, tall = linear(2, 500, 1000), linear(1000, 500, 2)  # 2 MB of weights; 2 MB of rows and 4 KB of weights
    for spec in (wide, tall):
        weights_are_larger = spec is wide
        (time,) = roofline(one(spec), device).nodes
        assert time.copies == pytest.approx(2 * 4 * 1000 * 500 / 1e10), weights_are_larger
    small = linear(2, 100, 30)  # 12,000 bytes, and the only weights: both are within the cache
    assert roofline(one(small), device).nodes[0].copies == pytest.approx(2 * 12_000 / 1e11)


def test_rows_of_a_product_are_its_outputs_over_its_columns():
    """Two rows of a batch are packed like two rows of a matrix; a product of vectors or without columns is not."""
    device = replace(CPU, copies=True)
    column = OpSpec("linear", (t(2, 100), t(1, 100)), (t(2, 1),), (("bias", False),))  # two outputs: two rows
    assert roofline(one(column), device).nodes[0].copies == pytest.approx(2 * 4 * 2 * 100 / 1e10)
    row = OpSpec("linear", (t(1, 100), t(50, 100)), (t(1, 50),), (("bias", False),))
    assert roofline(one(row), device).nodes[0].copies == 0
    broad = OpSpec("linear", (t(5, 3, 100), t(1, 100)), (t(5, 3, 1),), (("bias", False),))
    assert roofline(one(broad), device).nodes[0].copies == pytest.approx(2 * 4 * 15 * 100 / 1e10)
    batch = OpSpec("linear", (t(2, 1, 100), t(50, 100)), (t(2, 1, 50),), (("bias", False),))
    assert roofline(one(batch), device).nodes[0].copies == pytest.approx(2 * 4 * 50 * 100 / 1e10)
    vector = OpSpec("matmul", (t(100), t(100)), (t(),), (("batch", 1), ("bias", False), ("k", 100), ("m", 1), ("n", 1)))
    assert roofline(one(vector), device).nodes[0].copies == 0
    assert roofline(one(linear(2, 100, 0)), device).nodes[0].copies == 0


def test_pages_of_copies_count_as_those_of_outputs():
    """Only one of the convolution's copies is larger than a mebibyte: that of its weights."""
    device = replace(CPU, copies=True, fresh=Level(1 << 20, 1e9))
    (time,) = roofline(one(CONV), device).nodes
    assert time.pages == pytest.approx(4 * 256 * 256 * 9 / 1e9)
    assert time.seconds == pytest.approx(1e-6 + max(time.compute, time.memory) + time.copies + time.pages)
    assert time.bound == "memory"  # copies and pages take longer than the products


BOUNDS = {
    # times of the FLOPs, the bytes and a launch in seconds, and the expected bound
    "compute": (3e-6, 2e-6, 1e-6, "compute"),
    "memory": (2e-6, 3e-6, 1e-6, "memory"),
    "launch": (1e-6, 2e-6, 3e-6, "launch"),
    "a launch as long as the products": (3e-6, 2e-6, 3e-6, "launch"),
    "a launch as long as the bytes": (2e-6, 3e-6, 3e-6, "launch"),
    "the ridge": (3e-6, 3e-6, 1e-6, "compute"),
}


@pytest.mark.parametrize(("compute", "memory", "launch", "bound"), BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("overlaps", [False, True])
def test_bounds(compute, memory, launch, bound, overlaps):
    """A ReLU of 2¹⁰ elements: 2¹⁰ FLOPs and 2¹³ bytes."""
    device = replace(
        GPU if overlaps else CPU, flops={"float32": 2**10 / compute}, bandwidth=2**13 / memory, launch=launch
    )
    (time,) = roofline(one(relu(2**10)), device).nodes
    assert (time.compute, time.memory, time.launch) == (compute, memory, launch)
    expected = max(launch, compute, memory) if overlaps else launch + max(compute, memory)
    assert (time.seconds, time.bound) == (pytest.approx(expected), bound)


def test_copies_as_long_as_the_products():
    """On a tie, the bound is compute; if copies take slightly longer, it is memory."""
    spec = linear(2, 1000, 500)
    flops, packed = 2 * 2 * 1000 * 500, 2 * 4 * 1000 * 500
    for factor, bound in ((1.0, "compute"), (1.01, "memory")):
        device = replace(CPU, flops={"float32": flops * 1e3}, bandwidth=packed * 1e3 / factor, copies=True)
        (time,) = roofline(one(spec), device).nodes
        assert (time.compute, time.copies) == (1e-3, pytest.approx(1e-3 * factor))
        assert time.bound == bound


def several(*nodes):
    """A graph of independent ops: spec, call, name and phase of each."""
    values, storages, made = [], [], []
    for i, (spec, call, name, phase) in enumerate(nodes):
        ids = []
        for role, kinds in (("input", spec.inputs), ("activation", spec.outputs)):
            ids.append(tuple(range(len(values), len(values) + len(kinds))))
            for kind in kinds:
                storages.append(Storage(len(values), kind.nbytes, i if role == "activation" else None, None))
                values.append(Value(len(values), kind, len(values), role))
        made.append(Node(spec, *ids, call, name, phase))
    calls = tuple(Call(i, 0 if i else None, 0, (), ()) for i in range(2))
    scopes = (Scope("", "Net", calls=1), Scope("layer", "Layer", calls=1))
    return Graph(tuple(values), tuple(made), scopes, calls, tuple(storages), (), ())


def test_sums_by_hand():
    """Two ReLUs of 1,250 elements, 10 kB each in 1 µs, a product of 2 ms, and two ops without a rule."""
    unknown = OpSpec("cnncost_test::unknown", (t(4),), (t(4),))
    found = roofline(
        several(
            (relu(1250), 0, "aten.relu", "forward"), (unknown, 0, "lib.a", "forward"),
            (linear(1000, 1000, 1000), 1, "aten.linear", "forward"), (unknown, 1, "lib.a", "backward"),
            (relu(1250), 1, "aten.relu", "backward"),
        ),
        replace(CPU, launch=0.5e-6),
    )  # fmt: skip
    small, large = 1.5e-6, 2e-3 + 0.5e-6
    assert (found.unknown, found.total.ops, found.total.seconds) == (2, 3, pytest.approx(2 * small + large))
    assert [time is None for time in found.nodes] == [False, True, False, True, False]
    assert (found.total.flops, found.total.nbytes) == (2 * 1250 + 2_000_000_000, 2 * 10_000 + 12_000_000)
    assert (found.total.memory, found.total.compute, found.total.launch) == (
        pytest.approx(2 * small), pytest.approx(large), 0,
    )  # fmt: skip
    assert {k: p.ops for k, p in found.by_call.items()} == {0: 1, 1: 2}
    assert {k: p.ops for k, p in found.by_op.items()} == {"aten.relu": 2, "aten.linear": 1, "lib.a": 0}
    assert {k: p.unknown for k, p in found.by_op.items()} == {"aten.relu": 0, "aten.linear": 0, "lib.a": 2}
    assert {k: p.unknown for k, p in found.by_call.items()} == {0: 1, 1: 1}
    assert {k: p.seconds for k, p in found.by_kind.items()} == {
        "pointwise": pytest.approx(2 * small), "linear": pytest.approx(large), "cnncost_test::unknown": 0.0,
    }  # fmt: skip
    assert {k: p.seconds for k, p in found.phases.items()} == {
        "forward": pytest.approx(small + large), "backward": pytest.approx(small),
    }  # fmt: skip


def test_a_device_without_a_stated_bandwidth_is_bound_by_compute_alone():
    # LeNet-1's 91,520 MACs at 12.5 million a second are 7.3 ms; with biases and activations, 202,280 FLOPs at 25 M
    found = roofline(cnncost.analyze("lenet1").graph, find("dsp32c"))
    assert found.total.seconds == pytest.approx(202_280 / 25e6)
    assert found.total.memory == 0
    assert 91_520 / 12.5e6 < found.total.seconds < 98_442 / 12.5e6 * 1.1


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "lenet5"])
@pytest.mark.parametrize("device", ["h100", "xeon-8480"])
def test_sums_by_call_op_kind_and_bound_are_the_total(name, device):
    report = cnncost.analyze(name)
    found = roofline(report.graph, find(device))
    assert (found.total.flops, found.total.nbytes) == (
        report.totals.flops, report.totals.bytes_read + report.totals.bytes_written,
    )  # fmt: skip
    for parts in (found.by_call, found.by_op, found.by_kind, found.phases):
        assert sum(p.seconds for p in parts.values()) == pytest.approx(found.total.seconds)
        assert sum(p.flops for p in parts.values()) == found.total.flops
    total = found.total
    assert total.compute + total.memory + total.launch == pytest.approx(total.seconds)


def test_total_of_resnet50_in_bfloat16_on_an_h100_equals_a_loop_over_layers():
    """Derived from the Report alone: a layer of one op takes the longest of the three times."""
    report = cnncost.analyze("resnet50", (64, 3, 224, 224))
    found = roofline(report.graph, find("h100"), "bfloat16")
    seconds = 0.0
    for layer in report.layers:
        ops = 1 + (layer.class_name == "ResNet")  # the ResNet's own row also has the flattening, which is free
        nbytes = (layer.bytes_read + layer.bytes_written) / 2
        if layer.flops and ops == 1:
            seconds += max(5e-6, layer.flops / 989.4e12, nbytes / 3.35e12)
    assert found.total.seconds == pytest.approx(seconds, rel=1e-3)
