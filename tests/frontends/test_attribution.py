"""Which module each op, parameter and buffer is attributed to, and that all columns add up."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # torch's own name for it

import cnncost

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

COLUMNS = ("params", "trainable_params", "frozen_params", "buffers", "macs", "flops", "bytes_read", "bytes_written")


def below(path, module):
    return not module or path == module or path.startswith(module + ".")


def assert_adds_up(report):
    """Rows add up to the totals, and each module of the tree is the sum of the rows at and below it."""
    for column in COLUMNS:
        assert sum(getattr(row, column) for row in report.layers) == getattr(report.totals, column), column
    for module in report.modules:
        for column in COLUMNS:
            rows = [getattr(row, column) for row in report.layers if below(row.path, module.path)]
            assert getattr(module, column) == sum(rows), (module.path, column)
    assert sum(op.macs for op in report.ops) == report.totals.macs
    assert sum(op.flops for op in report.ops) == report.totals.flops
    assert sum(op.count for op in report.ops) == report.totals.ops == len(report.graph.nodes)


class Wired(nn.Module):
    """Children with given names, and a forward given as a function of the module and its input."""

    def __init__(self, forward, **children):
        super().__init__()
        self.wiring = forward
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args):
        return self.wiring(self, *args)


def five_times(self, x):
    for _ in range(5):
        x = self.fc(x)
    return x


class Recursive(nn.Module):
    """Calls itself, with a smaller number each time."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x, depth=3):
        x = self.fc(x)
        return self(x, depth - 1) if depth else x * 2


class Siamese(nn.Module):
    """One encoder for both inputs, and a head for the pair."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
        self.head = nn.Linear(4, 1)

    def forward(self, one, other):
        return self.head((self.encoder(one) - self.encoder(other)).abs())


class Tied(nn.Module):
    """The output layer has the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.embed(ids))


class Bare(nn.Module):
    """A parameter next to a layer."""

    def __init__(self):
        super().__init__()
        self.projection = nn.Parameter(torch.zeros(8, 4))
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(x @ self.projection)


class Lists(nn.Module):
    """Parameters in a list and a dictionary, layers in a list and a dictionary."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.zeros(8, 8)) for _ in range(2)])
        self.biases = nn.ParameterDict({"a": nn.Parameter(torch.zeros(8)), "b": nn.Parameter(torch.zeros(8))})
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.heads = nn.ModuleDict({"one": nn.Linear(8, 1), "two": nn.Linear(8, 2)})

    def forward(self, x):
        for weight, bias, layer in zip(self.weights, self.biases.values(), self.layers, strict=True):
            x = layer(x @ weight + bias)
        return {name: head(x) for name, head in self.heads.items()}


class MadeInForward(nn.Module):
    """Makes its activation at each call, and a layer that belongs to nobody."""

    def __init__(self):
        super().__init__()
        self.block = Wired(lambda self, x: nn.ReLU()(self.fc(x)), fc=nn.Linear(8, 8))

    def forward(self, x):
        return nn.Linear(8, 2)(nn.ReLU()(self.block(x)))


SHARED = nn.Linear(100, 100)
BIG = 4 * 8 * 8  # multiply-accumulates of a Linear(8, 8) for a batch of 4
BIAS = 4 * 8  # its additions of the bias

ATTRIBUTED = [
    # (model, input, rows as (label, class, params, macs, own flops beside its MACs, status), in order)
    pytest.param(
        lambda: Wired(five_times, fc=nn.Linear(8, 8)),
        (4, 8),
        [
            ("fc", "Linear", 72, BIG, BIAS, "called"),
            *((f"fc#{n}", "Linear", 0, BIG, BIAS, "called") for n in (2, 3, 4, 5)),
        ],
        id="a layer called five times: five rows, its parameters once",
    ),
    pytest.param(
        lambda: Wired(
            lambda self, x: self.c(self.b(self.a(x))),
            a=nn.Sequential(SHARED),
            b=nn.Sequential(SHARED),
            c=nn.Sequential(SHARED),
        ),
        (1, 100),
        [
            ("a.0", "Linear", 10_100, 10_000, 100, "called"),
            ("a.0#2", "Linear", 0, 10_000, 100, "called"),
            ("a.0#3", "Linear", 0, 10_000, 100, "called"),
        ],
        id="a layer under three parents: three calls at the place where it is held first",
    ),
    pytest.param(
        Recursive,
        (4, 8),
        # the innermost of four calls scales its result
        [
            ("fc", "Linear", 72, BIG, BIAS, "called"),
            ("fc#2", "Linear", 0, BIG, BIAS, "called"),
            ("fc#3", "Linear", 0, BIG, BIAS, "called"),
            ("#4", "Recursive", 0, 0, 32, "called"),
            ("fc#4", "Linear", 0, BIG, BIAS, "called"),
        ],
        id="a module that calls itself",
    ),
    pytest.param(
        Siamese,
        ((4, 8), (4, 8)),
        # the model's own: a difference and its absolute value, 4·4 each
        [
            ("", "Siamese", 0, 0, 32, "called"),
            ("encoder.0", "Linear", 36, 4 * 32, 16, "called"),
            ("encoder.1", "Tanh", 0, 0, 16, "called"),
            ("encoder.0#2", "Linear", 0, 4 * 32, 16, "called"),
            ("encoder.1#2", "Tanh", 0, 0, 16, "called"),
            ("head", "Linear", 5, 16, 4, "called"),
        ],
        id="one encoder for two inputs",
    ),
    pytest.param(
        Tied,
        "4x5:int64",
        [("embed", "Embedding", 80, 0, 0, "called"), ("head", "Linear", 0, 4 * 5 * 8 * 10, 0, "called")],
        id="tied weights belong to the first that holds them",
    ),
    pytest.param(
        Bare,
        (4, 8),
        [("", "Bare", 32, 4 * 8 * 4, 0, "called"), ("fc", "Linear", 10, 4 * 4 * 2, 8, "called")],
        id="a bare parameter belongs to the module that holds it, and so does its product",
    ),
    pytest.param(
        Lists,
        (4, 8),
        [
            ("", "Lists", 0, 2 * BIG, 2 * BIAS, "called"),
            ("layers.0", "Linear", 72, BIG, BIAS, "called"),
            ("layers.1", "Linear", 72, BIG, BIAS, "called"),
            ("heads.one", "Linear", 9, 32, 4, "called"),
            ("heads.two", "Linear", 18, 64, 8, "called"),
            ("weights", "ParameterList", 128, 0, 0, "used"),
            ("biases", "ParameterDict", 16, 0, 0, "used"),
        ],
        id="lists and dictionaries of parameters and of layers",
    ),
    pytest.param(
        MadeInForward,
        (4, 8),
        # the model itself fills the new layer with random numbers
        [
            ("", "MadeInForward", 0, 0, 0, "called"),
            ("block.fc", "Linear", 72, BIG, BIAS, "called"),
            ("block.<ReLU>", "ReLU", 0, 0, 32, "called"),
            ("<ReLU>", "ReLU", 0, 0, 32, "called"),
            ("<Linear>", "Linear", 0, 4 * 16, 8, "called"),
        ],
        id="modules that forward makes have names in brackets and no parameters of the model",
    ),
    pytest.param(
        lambda: Wired(
            lambda self, x: self.a(x),
            a=nn.Linear(8, 8),
            b=nn.Linear(8, 3),
            c=nn.ReLU(),
            d=nn.Sequential(nn.Linear(8, 3), nn.Dropout()),
        ),
        (4, 8),
        [
            ("a", "Linear", 72, BIG, BIAS, "called"),
            ("b", "Linear", 27, 0, 0, "unused"),
            ("c", "ReLU", 0, 0, 0, "unused"),
            ("d.0", "Linear", 27, 0, 0, "unused"),
            ("d.1", "Dropout", 0, 0, 0, "unused"),
        ],
        id="modules that are never called",
    ),
    pytest.param(
        lambda: Wired(lambda self, x: F.linear(x, self.a.weight) + self.b.bias, a=nn.Linear(8, 8), b=nn.Linear(3, 8)),
        (4, 8),
        [("", "Wired", 0, BIG, 32, "called"), ("a", "Linear", 72, 0, 0, "used"), ("b", "Linear", 32, 0, 0, "used")],
        id="layers whose parameters the parent reads",
    ),
    pytest.param(
        lambda: Wired(
            lambda self, x: [layer(x) for layer in self.layers][1], layers=nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        ),
        (4, 8),
        [("layers.0", "Linear", 72, BIG, BIAS, "called"), ("layers.1", "ReLU", 0, 0, 32, "called")],
        id="a Sequential that is iterated over has no row of its own",
    ),
    pytest.param(
        lambda: Wired(
            lambda self, x: self.layers[1].forward(self.layers[0](x)),
            layers=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]),
        ),
        (4, 8),
        [
            ("", "Wired", 0, BIG, BIAS, "called"),
            ("layers.0", "Linear", 72, BIG, BIAS, "called"),
            ("layers.1", "Linear", 72, 0, 0, "used"),
        ],
        id="forward called by its name is its caller's work",
    ),
    pytest.param(
        lambda: nn.Sequential(nn.Identity(), nn.Sequential(), nn.Linear(8, 8)),
        (4, 8),
        [
            ("0", "Identity", 0, 0, 0, "called"),
            ("1", "Sequential", 0, 0, 0, "called"),
            ("2", "Linear", 72, BIG, BIAS, "called"),
        ],
        id="modules that do nothing",
    ),
    pytest.param(nn.Identity, (4, 8), [("", "Identity", 0, 0, 0, "called")], id="a model that does nothing"),
    pytest.param(
        lambda: nn.Linear(8, 8), (4, 8), [("", "Linear", 72, BIG, BIAS, "called")], id="a model that is one layer"
    ),
]


@pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
@pytest.mark.parametrize(("model", "inputs", "rows"), ATTRIBUTED)
def test_rows(model, inputs, rows, grad):
    report = cnncost.analyze(cnncost.record(model(), inputs, grad=grad))

    got = [(r.label, r.class_name, r.params, r.macs, r.flops - 2 * r.macs, r.status) for r in report.layers]

    assert got == rows
    assert report.unknown == {}
    assert_adds_up(report)


def test_a_layer_used_a_hundred_times_costs_a_hundred_times_and_is_held_once():
    def forward(self, x):
        for _ in range(100):
            x = self.fc(x)
        return x

    report = cnncost.analyze(Wired(forward, fc=nn.Linear(1024, 1024)), (2, 1024))
    assert report.totals.params == 1024 * 1024 + 1024
    assert report.totals.macs == 100 * 2 * 1024 * 1024
    assert [row.call for row in report.layers] == list(range(1, 101))
    assert {(row.path, row.calls, row.macs) for row in report.layers} == {("fc", 100, 2 * 1024 * 1024)}
    assert report.module("fc").calls == 100


def test_attention_reads_the_weights_of_a_layer_that_it_never_calls():
    report = cnncost.analyze(nn.MultiheadAttention(8, 2, batch_first=True), ((2, 5, 8),) * 3)
    # Q, K, V and the result are projected: 4 times 2·5·8·8; scores and weighted sum are 2·5·5·8 each
    assert report.totals.macs == 4 * 640 + 2 * 400
    assert report.totals.params == 4 * (64 + 8)
    out = report.layer("out_proj")
    assert (out.status, out.params, out.macs) == ("used", 72, 0)
    assert report.layer("").status == "called"
    assert_adds_up(report)


@pytest.mark.parametrize("training", [False, True], ids=["fused, in eval mode", "in parts, in train mode"])
def test_a_transformer_layer_adds_up_fused_or_not(training):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train(training)
    report = cnncost.analyze(layer, (2, 5, 8))
    # attention as above, and two layers between 8 and 16 on 2·5 positions
    assert report.totals.macs == 3360 + 2 * 2 * 5 * 8 * 16
    assert report.totals.params == 288 + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 16
    assert "unused" not in {row.status for row in report.layers if row.params}
    assert_adds_up(report)


class Functional(nn.Module):
    """All of the work in one forward, its layer norm too."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("mean", torch.zeros(3, 1, 1))

    def forward(self, x):
        x = self.conv(x - self.mean)
        return F.adaptive_avg_pool2d(F.relu(x) + x, 1).flatten(1)


def test_what_forward_does_itself_is_its_own_share():
    report = cnncost.analyze(nn.Sequential(Functional(), nn.Linear(4, 2)), (2, 3, 8, 8))
    own = report.layer("0")
    # 2·3·8·8 differences; of 2·4·8·8 numbers: a ReLU each, an addition each, 64 - 1 additions and a division a mean
    assert (own.macs, own.flops) == (0, 384 + 512 + 512 + 8 * 64)
    assert (own.params, own.buffers) == (0, 3)
    assert report.layer("0.conv").macs == 2 * 4 * 64 * 27
    assert [(m.path, m.macs, m.params, m.buffers, m.leaf) for m in report.modules] == [
        ("", 2 * 4 * 64 * 27 + 16, 112 + 10, 3, False),
        ("0", 2 * 4 * 64 * 27, 112, 3, False),
        ("0.conv", 2 * 4 * 64 * 27, 112, 0, True),
        ("1", 16, 10, 0, True),
    ]
    assert_adds_up(report)


def test_the_order_of_rows_is_that_of_the_calls_not_that_of_the_tree():
    model = Wired(lambda self, x: self.a(self.c(self.b(x))), a=nn.Linear(8, 8), b=nn.ReLU(), c=nn.Tanh())
    report = cnncost.analyze(model, (4, 8))
    assert [row.path for row in report.layers] == ["b", "c", "a"]
    assert [module.path for module in report.modules] == ["", "a", "b", "c"]


def test_frozen_parameters_are_told_from_trainable_ones():
    model = nn.Sequential(nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8), nn.BatchNorm1d(8))
    model[1].bias.requires_grad_(False)
    report = cnncost.analyze(model, (4, 8))
    rows = [(row.params, row.trainable_params, row.frozen_params, row.buffers) for row in report.layers]
    # a batch norm has scale and shift, and keeps means, variances and the number of batches
    assert rows == [(72, 0, 72, 0), (72, 64, 8, 0), (16, 16, 0, 17)]
    assert (report.totals.params, report.totals.trainable_params, report.totals.frozen_params) == (160, 80, 80)
    assert_adds_up(report)


def test_a_frozen_layer_costs_what_a_trainable_one_does():
    free, frozen = nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2).requires_grad_(False)
    shapes = ((5, 2, 8),) * 3
    one, other = (cnncost.analyze(model.eval(), shapes).totals for model in (free, frozen))
    assert (one.macs, one.flops, one.params) == (other.macs, other.flops, other.params)
    assert one.macs == 3360


def test_buffers_that_are_not_saved_count_and_shared_ones_count_once():
    table = torch.zeros(5, 5)
    one, two = nn.Module(), nn.Module()
    one.register_buffer("table", table)
    two.register_buffer("table", table, persistent=False)
    two.register_buffer("missing", None)
    two.register_parameter("missing_too", None)
    report = cnncost.analyze(Wired(lambda self, x: x + self.one.table + self.two.table, one=one, two=two), ((5, 5),))
    assert [(row.path, row.buffers, row.status) for row in report.layers] == [
        ("", 0, "called"), ("one", 25, "used"), ("two", 0, "used"),
    ]  # fmt: skip
    assert (report.totals.buffers, report.totals.buffer_bytes) == (25, 100)


def test_a_slice_of_a_parameter_held_as_another_parameter_counts_as_its_own():
    """They are two objects to an optimizer, and both are saved."""
    base = nn.Linear(8, 8)
    part = nn.Module()
    part.weight = nn.Parameter(base.weight.detach()[:2])
    report = cnncost.analyze(
        Wired(lambda self, x: self.base(x) + (x @ self.part.weight.t()).sum(), base=base, part=part), (4, 8)
    )
    assert (report.totals.params, report.layer("part").params) == (72 + 16, 16)


def test_unregistered_modules_of_one_class_are_told_apart():
    report = cnncost.analyze(Wired(lambda _, x: nn.ReLU()(nn.Tanh()(nn.ReLU()(nn.ReLU()(x))))), (4, 8))
    assert [row.path for row in report.layers] == ["<ReLU>", "<ReLU>:2", "<Tanh>", "<ReLU>:3"]
    assert_adds_up(report)


LOOSE = nn.Linear(8, 8)


def test_a_module_outside_of_the_tree_that_is_called_twice_has_two_calls():
    def forward(self, x):
        return LOOSE(LOOSE(x))

    report = cnncost.analyze(Wired(forward), (4, 8))
    assert [(row.label, row.calls, row.params, row.macs) for row in report.layers] == [
        ("<Linear>", 2, 0, BIG), ("<Linear>#2", 2, 0, BIG),
    ]  # fmt: skip
    assert report.totals.params == 0


LISTED = [nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU())]


@pytest.mark.parametrize("trace", ["static", "real"])
def test_weights_that_the_model_does_not_register_are_said_to_be_none_of_its_parameters(trace):
    """As of layers in a plain list: 8·8 + 8 and 8·8."""
    report = cnncost.analyze(Wired(lambda _, x: LISTED[1](LISTED[0](x))), (4, 8), trace=trace)

    assert report.totals.params == 0
    (note,) = [each for each in report.notes if "not parameters of the model" in each]
    assert note.startswith("136 weights of <Linear> and 1 other module ")


def test_modules_without_weights_may_be_made_in_forward():
    report = cnncost.analyze(Wired(lambda _, x: nn.ReLU()(x) + torch.ones(8)), (4, 8))
    assert report.notes == ()


def test_what_a_row_is_called_and_returns():
    model = Wired(lambda self, x: self.pair(x)[1], pair=Wired(lambda self, x: (x, x.sum(1), [x])))
    report = cnncost.analyze(model, (4, 8))
    row = report.layer("pair")
    assert (row.output_shapes, row.output_shape, row.kind) == (((4, 8), (4,), (4, 8)), (4, 8), "reduce")
    nothing = cnncost.analyze(Wired(lambda self, x: None), (4, 8)).layers[0]
    assert (nothing.output_shapes, nothing.output_shape) == ((), None)


def test_a_path_that_does_not_exist_is_refused_with_near_ones():
    report = cnncost.analyze(nn.Sequential(nn.Sequential(nn.Linear(8, 8))), (4, 8))
    for look_up in (report.layer, report.module):
        with pytest.raises(
            cnncost.CnncostError, match=r"module '0\.1': the model has no module of this path; did you mean"
        ):
            look_up("0.1")


# ---- random trees


class Part(nn.Module):
    """Runs its plan: -1 is an op of the module itself, n a call of its n-th child."""

    def __init__(self, children, plan, scale):
        super().__init__()
        self.parts = nn.ModuleList(children)
        self.plan = plan
        if scale:
            self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        for step in self.plan:
            x = x * 1.5 if step < 0 else self.parts[step](x)
        return x * self.scale if hasattr(self, "scale") else x


@st.composite
def trees(draw):
    """A model of nested parts, some of them shared, called often or never; some weights are tied."""
    made = []

    def make(depth):
        if made and draw(st.integers(0, 4)) == 0:
            return draw(st.sampled_from(made))
        kind = draw(st.integers(0, 3)) if depth else 0
        if kind == 0:
            module = nn.Linear(3, 3, bias=draw(st.booleans()))
            linears = [m for m in made if isinstance(m, nn.Linear)]
            if linears and draw(st.integers(0, 3)) == 0:
                module.weight = draw(st.sampled_from(linears)).weight
        else:
            children = [make(depth - 1) for _ in range(draw(st.integers(0, 3)))]
            plan = draw(st.lists(st.integers(-1, len(children) - 1), max_size=4))
            module = Part(children, plan, scale=draw(st.booleans()))
        made.append(module)
        return module

    children = [make(2) for _ in range(draw(st.integers(1, 3)))]
    return Part(children, draw(st.lists(st.integers(-1, len(children) - 1), max_size=5)), draw(st.booleans()))


def own_cost(module):
    """MACs and FLOPs of one call outside of its children, on an input (2, 3)."""
    if isinstance(module, nn.Linear):
        return 18, 36 + (6 if module.bias is not None else 0)
    if isinstance(module, Part):
        return 0, 6 * module.plan.count(-1) + (6 if hasattr(module, "scale") else 0)
    return 0, 0


@settings(max_examples=150, deadline=None)
@given(model=trees(), grad=st.booleans())
def test_random_trees(model, grad):
    calls = []
    paths = {id(module): path for path, module in model.named_modules()}
    handles = [m.register_forward_pre_hook(lambda m, _: calls.append(m)) for m in model.modules()]
    with torch.no_grad():
        model(torch.zeros(2, 3))
    for handle in handles:
        handle.remove()

    report = cnncost.analyze(cnncost.record(model, (2, 3), grad=grad))

    assert_adds_up(report)
    worked = [(paths[id(m)], *own_cost(m)) for m in calls if own_cost(m) != (0, 0)]
    assert [(row.path, row.macs, row.flops) for row in report.layers if row.flops] == worked
    assert [(path, n) for path, _, n in report.tree] == [
        (path, sum(m is module for m in calls)) for path, module in model.named_modules()
    ]
    assert report.totals.params == sum(p.numel() for p in model.parameters())
    held, owned = set(), {}
    for path, module in model.named_modules():
        fresh = {id(p): p.numel() for p in module.parameters(recurse=False) if id(p) not in held}
        held |= set(fresh)
        owned[path] = sum(fresh.values())
    assert {row.path: row.params for row in report.layers if row.params} == {k: v for k, v in owned.items() if v}
