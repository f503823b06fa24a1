"""Every op that torch's modules and functions run has a rule."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.frontends.torch import record

LINE, PLANE, VOLUME = (2, 4, 8), (2, 4, 8, 8), (2, 4, 6, 6, 6)
BY_AXES = {1: LINE, 2: PLANE, 3: VOLUME}
ROWS, TARGET = (4, 5), torch.tensor([0, 1, 2, 3])

MODULES = {
    **{
        f"{name}{axes}d": (lambda name=name, axes=axes, args=args: getattr(nn, f"{name}{axes}d")(*args), [shape])
        for axes, shape in BY_AXES.items()
        for name, args in {
            "AdaptiveAvgPool": (3,), "AdaptiveMaxPool": (3,), "AvgPool": (2,), "BatchNorm": (4,), "CircularPad": (1,),
            "ConstantPad": (1, 0.5), "Conv": (4, 6, 3), "ConvTranspose": (4, 6, 3), "Dropout": (), "InstanceNorm": (4,),
            "LPPool": (2, 2), "MaxPool": (2,), "ReflectionPad": (1,), "ReplicationPad": (1,), "ZeroPad": (1,),
        }.items()
    },
    **{
        f"MaxUnpool{axes}d": (lambda axes=axes: _Unpool(axes), [shape]) for axes, shape in BY_AXES.items()
    },
    **{
        name: (getattr(nn, name), [PLANE])
        for name in (
            "AlphaDropout CELU Dropout ELU FeatureAlphaDropout Flatten GELU Hardshrink Hardsigmoid Hardswish Hardtanh "
            "Identity LeakyReLU LogSigmoid Mish PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax2d Softplus Softshrink "
            "Softsign Tanh Tanhshrink"
        ).split()
    },
    **{
        name: (lambda name=name: getattr(nn, name)(dim=1), [PLANE])
        for name in ("Softmax", "Softmin", "LogSoftmax", "GLU")
    },
    **{
        name: (getattr(nn, name), [ROWS, ROWS])
        for name in (
            "BCELoss BCEWithLogitsLoss CosineSimilarity HingeEmbeddingLoss HuberLoss L1Loss MSELoss "
            "MultiLabelSoftMarginLoss PairwiseDistance PoissonNLLLoss SmoothL1Loss SoftMarginLoss"
        ).split()
    },
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4]), [(4, 8), torch.tensor([0, 1, 5, 6])]
    ),
    "Bilinear": (lambda: nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
    "CTCLoss": (
        nn.CTCLoss, [(9, 2, 5), torch.ones(2, 3, dtype=torch.int64), torch.tensor([9, 9]), torch.tensor([3, 3])]
    ),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), [PLANE]),
    "CosineEmbeddingLoss": (nn.CosineEmbeddingLoss, [ROWS, ROWS, (4,)]),
    "CrossEntropyLoss": (nn.CrossEntropyLoss, [ROWS, TARGET]),
    "CrossMapLRN2d": (lambda: nn.CrossMapLRN2d(3), [PLANE]),
    "Embedding": (lambda: nn.Embedding(10, 4), ["2x3:int64"]),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(10, 4), ["2x3:int64"]),
    "Fold": (lambda: nn.Fold((6, 6), 3), [(2, 36, 16)]),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, output_size=3), [PLANE]),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, output_size=3), [VOLUME]),
    "GRU": (lambda: nn.GRU(8, 4), [LINE]),
    "GRUCell": (lambda: nn.GRUCell(8, 4), [(2, 8)]),
    "GaussianNLLLoss": (nn.GaussianNLLLoss, [ROWS, ROWS, ROWS]),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), [PLANE]),
    "KLDivLoss": (lambda: nn.KLDivLoss(reduction="batchmean"), [ROWS, ROWS]),
    "LSTM": (lambda: nn.LSTM(8, 4, 2, bidirectional=True), [LINE]),
    "LSTMCell": (lambda: nn.LSTMCell(8, 4), [(2, 8)]),
    "LayerNorm": (lambda: nn.LayerNorm(8), [PLANE]),
    "Linear": (lambda: nn.Linear(8, 4), [PLANE]),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), [PLANE]),
    "MarginRankingLoss": (nn.MarginRankingLoss, [(4,), (4,), (4,)]),
    "MultiMarginLoss": (nn.MultiMarginLoss, [ROWS, TARGET]),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(8, 2), [LINE, LINE, LINE]),
    "NLLLoss": (nn.NLLLoss, [ROWS, TARGET]),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), [PLANE]),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), [PLANE]),
    "RMSNorm": (lambda: nn.RMSNorm(8), [PLANE]),
    "RNN": (lambda: nn.RNN(8, 4), [LINE]),
    "RNNCell": (lambda: nn.RNNCell(8, 4), [(2, 8)]),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4).eval(), [PLANE]),
    "Threshold": (lambda: nn.Threshold(0.1, 2.0), [PLANE]),
    "Transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), [LINE, LINE]),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(8, 2, 16), [LINE, LINE]),
    "TransformerDecoder": (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2), [LINE, LINE]),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(8, 2, 16), [LINE]),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2), [LINE]
    ),
    "TripletMarginLoss": (nn.TripletMarginLoss, [ROWS, ROWS, ROWS]),
    "TripletMarginWithDistanceLoss": (nn.TripletMarginWithDistanceLoss, [ROWS, ROWS, ROWS]),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), [PLANE]),
    "Unfold": (lambda: nn.Unfold(3), [PLANE]),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), [PLANE]),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), [PLANE]),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), [PLANE]),
}  # fmt: skip

if hasattr(nn, "LinearCrossEntropyLoss"):
    MODULES["LinearCrossEntropyLoss"] = (lambda: nn.LinearCrossEntropyLoss(8, 5), [(4, 8), TARGET])

NOT_RUN = frozenset(
    "Module Container ModuleDict ModuleList ParameterDict ParameterList Sequential DataParallel RNNBase RNNCellBase "
    "NLLLoss2d MultiLabelMarginLoss".split()
)
"""Containers, base classes, an old alias, and a loss whose work depends on the number of labels."""


class _Unpool(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.pool = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)
        self.undo = getattr(nn, f"MaxUnpool{axes}d")(2)

    def forward(self, x):
        return self.undo(*self.pool(x))


class _Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def test_every_module_of_torch_nn_is_tested():
    """New modules in torch.nn must be added above."""
    public = {name for name, c in vars(nn).items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    lazy = {name for name in public if name.startswith("Lazy")}
    assert public - lazy - NOT_RUN == MODULES.keys()


def _unknown(model, inputs):
    """Ops without a rule, in all modes in which a model may run."""
    found = {}
    for train in (False, True):
        for grad in (False, True):
            found |= cnncost.analyze(record(model.train(train), tuple(inputs), grad=grad)).unknown
    return found


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_have_no_unknown_ops(name):
    make, inputs = MODULES[name]
    model = make()
    if name == "SyncBatchNorm":  # refuses to train without a process group
        model.train = lambda _=True: model
    assert _unknown(model, inputs) == {}


A, B, M, V = (3, 4), (3, 4), (4, 5), (4,)
SQUARE, WHOLE, C = (4, 4), "3x4:int64", "3x4:complex64"
IMAGE, GRID = (1, 2, 4, 4), (1, 3, 3, 2)

ELEMENTWISE = """
abs acos acosh angle asin asinh atan atanh ceil conj_physical cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1
floor frac i0 isfinite isinf isnan isneginf isposinf isreal lgamma log log10 log1p log2 logit nan_to_num neg positive
rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc selu celu rrelu
std var mean sum prod median nanmedian nansum nanmean amax amin argmax argmin all any max min aminmax count_nonzero norm
ravel flatten squeeze clone zeros_like ones_like rand_like randn_like empty_like t tril triu diagonal trace rot90
flipud fliplr argsort sort msort std_mean var_mean mode diff atleast_1d atleast_3d cov corrcoef frexp
""".split()
PAIRS = """
add sub mul div floor_divide fmod remainder pow atan2 maximum minimum fmax fmin eq ne lt le gt ge isclose hypot xlogy
logaddexp logaddexp2 copysign heaviside nextafter logical_and logical_or logical_xor float_power ldexp dist inner cdist
complex polar max min kron cat stack hstack vstack dstack column_stack
""".split()
WHOLES = "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift gcd lcm add mul eq".split()
SPECIAL = """
expit erf erfc erfinv erfcx expm1 exp2 log1p digamma gammaln sinc i0 i0e i1 i1e ndtr ndtri log_ndtr entr round
psi logit
""".split()
ALONG = "cumsum cumprod cummax cummin logcumsumexp softmax log_softmax logsumexp unbind".split()
TENSORS = {"cat", "stack", "hstack", "vstack", "dstack", "column_stack"}


def _on_list(function):
    return lambda *tensors: function(list(tensors))


FUNCTIONS = {
    **{name: (getattr(torch, name), [A]) for name in ELEMENTWISE},
    **{
        f"{name} of two": (_on_list(getattr(torch, name)) if name in TENSORS else getattr(torch, name), [A, B])
        for name in PAIRS
    },
    **{f"{name} of integers": (getattr(torch, name), [WHOLE, WHOLE]) for name in WHOLES},
    **{f"special.{name}": (getattr(torch.special, name), [A]) for name in SPECIAL},
    **{f"{name} along an axis": (lambda x, name=name: getattr(torch, name)(x, 1), [A]) for name in ALONG},
    "mm": (torch.mm, [A, M]),
    "mv": (torch.mv, [A, V]),
    "dot": (torch.dot, [V, V]),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    "addmm": (torch.addmm, [(3, 5), A, M]),
    "addmv": (torch.addmv, [(3,), A, V]),
    "addbmm": (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)]),
    "baddbmm": (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)]),
    "addr": (torch.addr, [SQUARE, V, V]),
    "outer": (torch.outer, [V, V]),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), [A, M]),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 1), [A, M]),
    "multi_dot": (lambda *m: torch.linalg.multi_dot(m), [A, M, (5, 2)]),
    "matrix_power": (lambda a: torch.linalg.matrix_power(a, 3), [SQUARE]),
    "cross": (torch.linalg.cross, [(2, 3), (2, 3)]),
    "matrix_norm": (torch.linalg.matrix_norm, [A]),
    "vector_norm": (torch.linalg.vector_norm, [A]),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.5), [A, B]),
    "addcmul": (torch.addcmul, [A, A, B]),
    "addcdiv": (torch.addcdiv, [A, A, B]),
    "clamp": (lambda a: torch.clamp(a, 0, 1), [A]),
    "clamp by tensors": (torch.clamp, [A, A, B]),
    "where": (lambda a, b: torch.where(a > b, a, b), [A, B]),
    "masked_fill": (lambda a: a.masked_fill(a > 0, 0.0), [A]),
    "renorm": (lambda a: torch.renorm(a, 2, 0, 1.0), [A]),
    "mvlgamma": (lambda a: torch.mvlgamma(a, 2), [A]),
    "polygamma": (lambda a: torch.polygamma(1, a), [A]),
    "zeta": (torch.special.zeta, [A, B]),
    "xlog1py": (torch.special.xlog1py, [A, B]),
    "gammainc": (torch.special.gammainc, [A, B]),
    "trapezoid": (torch.trapezoid, [A]),
    "cumulative_trapezoid": (torch.cumulative_trapezoid, [A]),
    "gradient": (torch.gradient, [V]),
    "quantile": (lambda a: torch.quantile(a, 0.5), [A]),
    "nanquantile": (lambda a: torch.nanquantile(a, 0.5), [A]),
    "histc": (torch.histc, [A]),
    "bernoulli": (torch.bernoulli, [A]),
    "poisson": (torch.poisson, [A]),
    "normal": (torch.normal, [A, B]),
    "multinomial": (lambda a: torch.multinomial(a, 2), [A]),
    "cartesian_prod": (torch.cartesian_prod, [V, V]),
    "vander": (torch.vander, [V]),
    "isin": (torch.isin, [A, B]),
    "searchsorted": (torch.searchsorted, [V, V]),
    "bucketize": (torch.bucketize, [A, V]),
    "kthvalue": (lambda a: torch.kthvalue(a, 2), [A]),
    "topk": (lambda a: torch.topk(a, 2), [A]),
    "fft": (torch.fft.fft, [A]),
    "ifft": (torch.fft.ifft, [C]),
    "rfft": (torch.fft.rfft, [A]),
    "irfft": (torch.fft.irfft, [C]),
    "hfft": (torch.fft.hfft, [C]),
    "rfft2": (torch.fft.rfft2, [A]),
    "fftn": (torch.fft.fftn, [A]),
    "stft": (lambda x, w: torch.stft(x, 16, window=w, return_complex=True), [(2, 64), (16,)]),
    "product of complex numbers": (torch.mul, [C, C]),
    "abs of complex numbers": (torch.abs, [C]),
    "matmul of complex numbers": (torch.matmul, [C, "4x2:complex64"]),
    "real": (torch.real, [C]),
    "view_as_real": (torch.view_as_real, [C]),
    "view_as_complex": (torch.view_as_complex, [(3, 2)]),
    "affine_grid": (lambda t: F.affine_grid(t, [1, 1, 4, 4], align_corners=False), [(1, 2, 3)]),
    "affine_grid in space": (lambda t: F.affine_grid(t, [1, 1, 4, 4, 4], align_corners=False), [(1, 3, 4)]),
    "grid_sample": (lambda x, g: F.grid_sample(x, g, align_corners=False), [IMAGE, GRID]),
    "gumbel_softmax": (F.gumbel_softmax, [A]),
    "gumbel_softmax, hard": (lambda x: F.gumbel_softmax(x, hard=True), [A]),
    "normalize": (F.normalize, [A]),
    "pdist": (F.pdist, [A]),
    "one_hot": (lambda i: F.one_hot(i, 5), [WHOLE]),
    "conv_tbc": (F.conv_tbc, [(5, 2, 4), (3, 4, 6), (6,)]),
    "interpolate, antialiased": (lambda x: F.interpolate(x, 3, mode="bilinear", antialias=True), [PLANE]),
    "interpolate by area": (lambda x: F.interpolate(x, 3, mode="area"), [PLANE]),
    "pad by mirror": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), [IMAGE]),
    "scaled_dot_product_attention": (F.scaled_dot_product_attention, [LINE, LINE, LINE]),
    "cross_entropy with weights": (
        lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.1), [ROWS, TARGET, (5,)]
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:cov:UserWarning", "ignore:std_mean|var_mean:UserWarning")
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_have_no_unknown_ops(name):
    function, inputs = FUNCTIONS[name]
    assert _unknown(_Function(function), inputs) == {}


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.matrix_exp, lambda a: F.multilabel_margin_loss(a, torch.zeros(4, 4, dtype=torch.int64)),
    ],
    ids=["matrix_exp", "multilabel_margin_loss"],
)  # fmt: skip
def test_value_dependent_ops_make_totals_a_lower_bound(function):
    """The length of a series depends on a norm, the number of pairs in a loss on the labels."""
    report = cnncost.analyze(record(_Function(function), (SQUARE,)))
    assert report.unknown
    assert report.totals.lower_bound


@pytest.mark.parametrize(
    ("package", "declares"),
    [
        pytest.param("ops", "@kind(", id="kinds"),
        pytest.param("frontends/torch/lowering", "@lowers(", id="lowerings"),
    ],
)
def test_every_file_of_declarations_is_imported_with_its_package(package, declares):
    folder = Path(cnncost.__file__).parent / package
    imported = (folder / "__init__.py").read_text()
    files = [file for file in folder.glob("*.py") if f"\n{declares}" in file.read_text()]
    assert len(files) > 10
    assert [file.name for file in files if f"    {file.stem},\n" not in imported] == []
