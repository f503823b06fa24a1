"""Ops identified by name: elementwise functions, reductions, layout, creation, gather, scatter, sorting."""

from __future__ import annotations

from itertools import zip_longest
from math import prod

import torch

from cnncost.frontends.torch.lowering.layouts import with_layout
from cnncost.frontends.torch.lowering.registry import Attrs, Lowered, OpCall, lower_layout, lowers

# ---- elementwise

_FUNCTIONS = """
neg abs reciprocal square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p pow sin cos tan asin acos atan atan2 sinh
cosh tanh asinh acosh atanh sinc erf erfc erfinv lgamma digamma polygamma i0 floor ceil round trunc frac sign sgn
maximum minimum fmax fmin relu relu6 threshold eq ne lt le gt ge isnan isinf isposinf isneginf isfinite isclose fmod
remainder floor_divide heaviside angle clamp clamp_min clamp_max ldexp nextafter igamma igammac where masked_fill
copysign signbit logical_not logical_and logical_or logical_xor bitwise_not bitwise_and bitwise_or bitwise_xor gcd lcm
real imag conj rsub hardtanh leaky_relu prelu rrelu celu selu sigmoid silu glu softplus softsign mish hardsigmoid
hardswish hardshrink softshrink logit lerp addcmul addcdiv hypot xlogy logaddexp logaddexp2 nan_to_num deg2rad rad2deg
polar complex positive
""".split()
"""Ops whose name is that of the function (the attribute `fn`)."""

_ALIASES = {
    "absolute": "abs", "negative": "neg", "multiply": "mul", "divide": "div", "true_divide": "div", "fix": "trunc",
    "clip": "clamp", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arctan2": "atan2", "arccosh": "acosh",
    "arcsinh": "asinh", "arctanh": "atanh", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
    "not_equal": "ne", "special_expit": "sigmoid", "special_erf": "erf", "special_erfc": "erfc",
    "special_erfinv": "erfinv", "special_erfcx": "erfcx", "special_expm1": "expm1", "special_exp2": "exp2",
    "special_log1p": "log1p", "special_logit": "logit", "special_digamma": "digamma", "special_gammaln": "lgamma",
    "special_psi": "digamma", "special_sinc": "sinc", "special_round": "round", "special_i0": "i0",
    "special_i0e": "i0e", "special_i1": "i1", "special_i1e": "i1e", "special_ndtri": "ndtri",
    "special_log_ndtr": "log_ndtr", "special_entr": "entr", "special_xlogy": "xlogy", "special_xlog1py": "xlog1py",
    "special_zeta": "zeta", "special_polygamma": "polygamma", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "__iand__": "bitwise_and", "__ior__": "bitwise_or", "__ixor__": "bitwise_xor",
    "__lshift__": "bitwise_shift", "__rshift__": "bitwise_shift", "bitwise_left_shift": "bitwise_shift",
    "bitwise_right_shift": "bitwise_shift", "log_sigmoid_forward": "logsigmoid", "log_sigmoid": "logsigmoid",
    "rrelu_with_noise": "rrelu", "_prelu_kernel": "prelu", "_conj_physical": "conj", "conj_physical": "conj",
    **{f"special_{name}": name for name in (
        "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0"
        " modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0"
        " chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w"
        " shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v"
        " shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l"
        " legendre_polynomial_p"
    ).split()},
}  # fmt: skip
"""The function (`fn`) of each op that has another name than its function."""


@lowers(*_FUNCTIONS, *_ALIASES)
def pointwise(call: OpCall) -> Lowered:
    """The output has the broadcast shape of the inputs."""
    name = _ALIASES.get(call.name, call.name)
    if name == "clamp" and (call["min"] is None or call["max"] is None):
        name = "clamp_max" if call["min"] is None else "clamp_min"
    return "pointwise", {"fn": name} | ({"axis": call["dim"]} if name == "glu" else {})


@lowers("add", "sub", "subtract")
def scaled_sum(call: OpCall) -> Lowered:
    """x ± α·y; an α other than 1 adds a multiplication."""
    return "pointwise", {"fn": "add_scaled" if call.get("alpha", 1) != 1 else call.name.removesuffix("tract")}


@lowers("mul", "div")
def product(call: OpCall) -> Lowered:
    """A division with a rounding mode is followed by floor or truncation."""
    return "pointwise", {"fn": "floor_divide" if call.get("rounding_mode") else call.name}


@lowers("gelu")
def gelu(call: OpCall) -> Lowered:
    """Exact (by erf), or the tanh approximation."""
    return "pointwise", {"fn": "gelu_tanh" if call["approximate"] == "tanh" else "gelu"}


@lowers("elu")
def elu(call: OpCall) -> Lowered:
    """With scales, the op implements SELU and CELU."""
    scales = sum(call.get(name, 1) != 1 for name in ("scale", "input_scale"))
    return "pointwise", {"fn": ("elu", "elu_scaled", "elu_scaled_twice")[scales]}


@lowers("addr")
def addr(call: OpCall) -> Lowered:
    """self + a·bᵀ: no accumulation, so one multiplication and one addition per element."""
    return "pointwise", {"fn": "addcmul" if call.get("alpha", 1) != 1 else "multiply_add"}


@lowers("linalg_cross", "cross")
def cross(call: OpCall) -> Lowered:
    """Two multiplications and a subtraction per element."""
    return "pointwise", {"fn": "cross", "axis": call.get("dim", -1)}


@lowers("renorm", "embedding_renorm")
def renorm(call: OpCall) -> Lowered:
    """Renormalizes all slices of a tensor, or the looked-up rows of an embedding."""
    x = call["self"]
    return "renorm", {"elements": x.numel() if call.name == "renorm" else call["indices"].numel() * x.shape[-1]}


@lowers("frexp")
def frexp(call: OpCall) -> Lowered:
    """Mantissa and exponent: only bits are extracted, no arithmetic."""
    return lower_layout(call, copy=True)


@lowers("_weight_norm", "_weight_norm_interface")
def weight_norm(call: OpCall) -> Lowered:  # noqa: ARG001  # costs follow from the inputs' types
    """v and g; one norm per element of g."""
    return "weight_norm", {}


_MEAN = 1
"""ATen's number for the mean, among a loss's reductions and among the modes of bags."""
_LOSSES = {
    "mse_loss": "mse", "l1_loss": "l1", "smooth_l1_loss": "smooth_l1", "huber_loss": "huber",
    "binary_cross_entropy": "bce", "binary_cross_entropy_with_logits": "bce_logits", "kl_div": "kl",
    "soft_margin_loss": "soft_margin", "multi_margin_loss": "multi_margin",
}  # fmt: skip


@lowers(*_LOSSES)
def loss(call: OpCall) -> Lowered:
    """An elementwise distance, and its mean or sum."""
    return "loss", {"fn": _LOSSES[call.name], "reduction": call.get("reduction", _MEAN)}


@lowers("nll_loss", "nll_loss_forward", "nll_loss2d", "nll_loss2d_forward", "nll_loss_nd")
def nll(call: OpCall) -> Lowered:
    """One element gathered per target."""
    return "loss", {"fn": "nll", "reduction": call.get("reduction", _MEAN)}


# ---- reductions, softmax, scans, sorting

_REDUCTIONS = {
    **{n: n for n in "sum nansum prod mean aminmax argmax argmin var std norm logsumexp count_nonzero any all".split()},
    "max": "max", "min": "min", "amax": "max", "amin": "min", "median": "median", "nanmedian": "median",
    "_is_all_true": "all", "_is_any_true": "any",
    "nanmean": "nanmean", "var_mean": "var", "std_mean": "std", "linalg_vector_norm": "norm", "frobenius_norm": "norm",
}  # fmt: skip


@lowers(*_REDUCTIONS)
def reduce(call: OpCall) -> Lowered:
    """Over `dim`, or over all axes; max and min of two tensors are elementwise."""
    if call.name in {"max", "min"} and "other" in call.arguments:
        return "pointwise", {"fn": {"max": "maximum", "min": "minimum"}[call.name]}
    axes = {name: value for name, value in call.plain().items() if name in {"dim", "keepdim"}}
    return "reduce", {"fn": _REDUCTIONS[call.name], **axes}


_SOFTMAX = {
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), "softmax"),
    **dict.fromkeys(("log_softmax", "_log_softmax"), "log_softmax"),
}  # fmt: skip


@lowers(*_SOFTMAX)
def softmax(call: OpCall) -> Lowered:
    """Along `dim`."""
    attrs: Attrs = {"fn": _SOFTMAX[call.name], "axis": call["dim"]}
    return "softmax", with_layout(attrs, call)


@lowers("cumsum", "cumprod", "cummax", "cummin", "_cummax_helper", "_cummin_helper", "logcumsumexp", "_logcumsumexp")
def scan(call: OpCall) -> Lowered:
    """Along `dim`."""
    return "scan", {"fn": call.name.strip("_"), "axis": call["dim"]}


@lowers("segment_reduce")
def segment_reduce(call: OpCall) -> Lowered:
    """data: elements, reduced over segments along an axis."""
    return "segment_reduce", {"fn": call["reduce"]}


@lowers("allclose")
def all_close(call: OpCall) -> Lowered:
    """self and other, broadcast."""
    shape = torch.broadcast_shapes(call["self"].shape, call["other"].shape)
    return "all_close", {"elements": prod(shape)}


@lowers("trace")
def trace(call: OpCall) -> Lowered:  # noqa: ARG001  # costs follow from the input's type
    """The sum of a diagonal."""
    return "trace", {}


@lowers("searchsorted", "bucketize")
def search(call: OpCall) -> Lowered:
    """Search for each value among sorted boundaries."""
    boundaries = call["sorted_sequence"] if call.name == "searchsorted" else call["boundaries"]
    return "search", {"values": call.outputs[0].numel, "boundaries": boundaries.shape[-1]}


_OF_POINTS = frozenset({"_histogramdd_from_bin_cts", "_histogramdd_from_bin_tensors", "_histogramdd_bin_edges"})
"""Histograms of points with several coordinates."""


@lowers("histc", "histogram", *_OF_POINTS)
def histogram(call: OpCall) -> Lowered:
    """self: V values, or V,d; `bins`: their number or their edges."""
    shape, bins = call["self"].shape, call["bins"]
    axes = shape[-1] if call.name in _OF_POINTS else 1
    edges = [b.shape[0] for b in (bins if isinstance(bins, (list, tuple)) else [bins]) if hasattr(b, "shape")]
    ranged = call["min"] != call["max"] if call.name == "histc" else call.get("range") is not None
    attrs: Attrs = {
        "points": prod(shape) // max(axes, 1), "axes": axes, "edges": tuple(edges), "ranged": ranged,
        "density": bool(call.get("density", False)), "counts": call.name != "_histogramdd_bin_edges",
    }  # fmt: skip
    return "histogram", attrs


_SORT: dict[str, int | None] = {
    **dict.fromkeys(("sort", "argsort", "topk", "kthvalue", "mode"), -1), "msort": 0,
    **dict.fromkeys(("unique_dim", "_unique2", "_unique", "unique_consecutive"), None),
}  # fmt: skip
"""By op: the axis without an argument `dim`. None: all elements, of which only distinct ones are returned."""


@lowers(*_SORT)
def sort(call: OpCall) -> Lowered:
    """Along `dim`; without it (`unique`, for example), over all elements."""
    default = _SORT[call.name]
    return "sort", {"unique": default is None, "axis": call.get("dim", default)}


# ---- gather and scatter


_GATHER = {
    **{name: name for name in ("embedding", "index_select", "gather", "index", "take", "one_hot")},
    "_unsafe_index": "index", "take_along_dim": "gather",
    **dict.fromkeys(
        "masked_select nonzero multinomial isin argwhere _pack_padded_sequence"
        " _pad_packed_sequence nonzero_static _unsafe_masked_index hash_tensor".split(),
        "other",
    ),
}  # fmt: skip


@lowers(*_GATHER)
def gather(call: OpCall) -> Lowered:
    """Elements gathered by index. `axes` are the indexed axes: a mask indexes as many as it has itself."""
    attrs: Attrs = {"fn": _GATHER[call.name]}
    if attrs["fn"] in {"index_select", "gather"} and (dim := call.get("dim")) is not None:
        attrs["dim"] = dim
    elif call.name == "take_along_dim":  # without `dim`, from the flattened tensor
        attrs["fn"] = "take"
    if attrs["fn"] == "index":
        axes: list[int] = []
        axis = 0
        for index in call["indices"]:
            count = index.dim() if index is not None and index.dtype in (torch.bool, torch.uint8) else 1
            axes += range(axis, axis + count) if index is not None else ()
            axis += count
        attrs["axes"] = tuple(axes)
    return "gather", attrs


_ACCUMULATE = {"index_add", "scatter_add", "scatter_reduce", "index_reduce", "bincount",
               "_unsafe_masked_index_put_accumulate"}  # fmt: skip


_SCATTER = """
scatter scatter_add scatter_reduce index_add index_reduce index_copy index_fill index_put _index_put_impl
_unsafe_index_put put masked_scatter max_unpool2d max_unpool3d select_scatter slice_scatter diagonal_scatter
as_strided_scatter bincount _unsafe_masked_index_put_accumulate
"""


@lowers(*_SCATTER.split())
def scatter(call: OpCall) -> Lowered:
    """Elements scattered by index, summed if `accumulate`."""
    adds = call.name in _ACCUMULATE or bool(call.get("accumulate", False)) or call.get("reduce") is not None
    return "scatter", {"accumulate": adds, "elements": _scattered_elements(call)}


def _scattered_elements(call: OpCall) -> int:
    """Return the number of scattered elements. The index of `scatter` selects elements, that of other ops slices."""
    if call.name == "bincount":
        return int(call["self"].numel())
    if "indices" in call.arguments:  # index_put: indices broadcast; along other axes, all positions are written
        indices = [i for i in call["indices"] if i is not None]
        if any(i.dtype in (torch.bool, torch.uint8) for i in indices):
            return int(call["values"].numel())
        selected = torch.broadcast_shapes(*(i.shape for i in indices))
        not_indexed = [n for n, i in zip_longest(call["self"].shape, call["indices"]) if i is None]
        return int(prod(selected) * prod(not_indexed))
    if call.name in {"scatter", "scatter_add", "scatter_reduce"}:
        return int(call["index"].numel())
    source = next((call[n] for n in ("src", "source", "values") if hasattr(call.get(n), "shape")), None)
    return int(source.numel()) if source is not None else call.outputs[0].numel


@lowers("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def bag(call: OpCall) -> Lowered:
    """weight: V,D; indices: I; output: B,D."""
    bags, width = call.outputs[0].shape
    weighted = call["per_sample_weights"] is not None
    return "bag", {"indices": call["indices"].numel(), "bags": bags, "width": width, "mean": call["mode"] == _MEAN,
                   "weighted": weighted}  # fmt: skip


# ---- creation


_CREATE = """
empty empty_strided empty_like new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like new_ones
full full_like new_full arange linspace logspace eye scalar_tensor fill zero rand rand_like randn randn_like
randint randint_like randperm bernoulli normal uniform random exponential geometric cauchy log_normal
normal_functional hann_window hamming_window blackman_window bartlett_window kaiser_window _efficientzerotensor
range poisson _standard_gamma _sample_dirichlet binomial empty_permuted tril_indices triu_indices fft_fftfreq
fft_rfftfreq
"""


_PARAMETERS = frozenset({"mean", "std", "p", "count", "prob", "value"})
"""Arguments whose values are read if they are tensors: parameters of a distribution, a fill value. Other tensors are
overwritten."""


@lowers(*_CREATE.split())
def create(call: OpCall) -> Lowered:
    """Constants, ranges, random numbers. `reads`: inputs whose values are read, such as a normal distribution's mean.

    `joint`: the numbers of the last axis are drawn together.
    """
    reads_self = call.name in {"poisson", "_standard_gamma", "_sample_dirichlet"}
    reads_self |= call.name == "bernoulli" and not {"p", "prob"} & call.arguments.keys()
    names = [name for name, value in call.arguments.items() if isinstance(value, torch.Tensor)]
    reads = tuple(i for i, name in enumerate(names) if name in _PARAMETERS or (reads_self and name == "self"))
    attrs: Attrs = {"reads": reads} if reads else {}
    if call.name == "_sample_dirichlet":
        attrs["joint"] = True
    return "create", attrs


@lowers("dropout", "native_dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "_fused_dropout")
def dropout(call: OpCall) -> Lowered:
    """A no-op in eval mode."""
    return "dropout", {"training": bool(call.get("train", call.get("training", True)))}
