"""Models in torch's wrappers and ambient modes: the same ops, modules and parameters as without."""

import collections
import contextlib
import copy
import functools
import types
import weakref

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F  # torch's own name for it
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.errors import InputError
from cnncost.frontends.torch import record
from cnncost.frontends.torch.real import record_real
from tests.versions.facts import set_default_device

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

GRAD = pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
INPUT = (2, 3, 8, 8)
MACS = 2 * 4 * 36 * 27 + 2 * 144 * 5  # of the model below: 4·6·6 outputs of 27 products, 5 outputs of 144
PARAMS = 4 * 27 + 4 + 8 + 144 * 5 + 5
ROWS = [("conv", 7776), ("norm", 0), ("act", 0), ("fc", 1440)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.fc = nn.Linear(144, 5)

    def forward(self, x):
        return self.fc(self.act(self.norm(self.conv(x))).flatten(1))


def analyzed(model, inputs=INPUT, *, grad=False):
    report = cnncost.analyze(record(model, inputs, grad=grad))
    assert report.unknown == {}
    return report


def rows(report, prefix=""):
    """Paths and MACs of the rows below a wrapper, without the wrapper's part of the path."""
    found = [(row.path, row.macs) for row in report.layers if row.path]
    return [(path.removeprefix(prefix), macs) for path, macs in found if path.startswith(prefix)]


# ---- wrappers


class Half(nn.Module):
    """A wrapper of the user's own."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x.half()).float()


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.net, self.reentrant = Net(), reentrant

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=self.reentrant)


class CheckpointedInParts(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))

    def forward(self, x):
        return checkpoint_sequential(self.parts, 2, x, use_reentrant=False)


class Called(nn.Module):
    """Runs the network with other weights."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.others = nn.ParameterDict(
            {name.replace(".", "_"): p.detach().clone() for name, p in self.net.named_parameters()}
        )

    def forward(self, x):
        weights = {name: self.others[name.replace(".", "_")] for name, _ in self.net.named_parameters()}
        return torch.func.functional_call(self.net, weights, (x,))


def compiled(model):
    return torch.compile(model)


def compiled_in_place(model):
    model.compile()
    return model


def with_a_compiled_child(model):
    model.fc.compile()
    model.act.compile(backend="eager")
    return model


WRAPPED = [
    # (what makes it, prefix of the paths inside)
    pytest.param(lambda: nn.DataParallel(Net()), "", id="nn.DataParallel"),
    pytest.param(lambda: nn.DataParallel(nn.DataParallel(Net())), "", id="nn.DataParallel twice"),
    pytest.param(lambda: nn.Sequential(nn.DataParallel(Net())), "0.module.", id="nn.DataParallel inside of a model"),
    pytest.param(lambda: compiled(Net()), "", id="torch.compile(model)"),
    pytest.param(lambda: compiled_in_place(Net()), "", id="model.compile()"),
    pytest.param(lambda: with_a_compiled_child(Net()), "", id="compile() of layers"),
    pytest.param(lambda: nn.Sequential(compiled(Net())), "0._orig_mod.", id="torch.compile of a part"),
    pytest.param(lambda: nn.DataParallel(compiled(Net())), "", id="a compiled model in nn.DataParallel"),
    pytest.param(lambda: Checkpointed(reentrant=False), "net.", id="checkpointing"),
    pytest.param(lambda: Checkpointed(reentrant=True), "net.", id="checkpointing, the reentrant kind"),
    pytest.param(lambda: fx.symbolic_trace(Net()), "", id="a traced fx.GraphModule"),
    pytest.param(lambda: torch.optim.swa_utils.AveragedModel(Net()), "module.", id="an averaged model"),
    pytest.param(lambda: copy.deepcopy(Net()), "", id="a deep copy"),
    pytest.param(lambda: Net().share_memory(), "", id="a model in shared memory"),
    pytest.param(lambda: Net().to(memory_format=torch.channels_last), "", id="weights in channels-last order"),
    pytest.param(lambda: Net().requires_grad_(False), "", id="a frozen model"),
]  # fmt: skip


@GRAD
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
@pytest.mark.parametrize(("make", "prefix"), WRAPPED)
def test_a_wrapped_model_is_the_model_within(make, prefix, grad):
    report = analyzed(make(), grad=grad)
    assert rows(report, prefix) == ROWS
    assert (report.totals.macs, report.totals.params) == (MACS, PARAMS)


@GRAD
def test_checkpointing_in_parts(grad):
    report = analyzed(CheckpointedInParts(), grad=grad)
    assert rows(report, "parts.") == [("0", 7776), ("1", 0), ("2", 0), ("3", 1440)]


@GRAD
def test_a_functional_call_runs_the_same_modules_on_other_weights(grad):
    report = analyzed(Called().eval(), grad=grad)
    assert rows(report, "net.") == ROWS
    assert report.layer("others").status == "used"
    assert report.totals.params == 2 * PARAMS
    assert report.totals.macs == MACS


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # the compiler's, of Python
def test_nothing_is_compiled():
    """A backend is called when the function that it compiles first runs."""
    calls = []

    def backend(graph, _):
        calls.append(graph)
        return graph.forward

    by_wrapper, in_place = torch.compile(Net(), backend=backend), Net()
    in_place.compile(backend=backend)
    function = torch.compile(lambda x: x.relu() * 2, backend=backend)
    for grad in (False, True):
        for model in (by_wrapper, in_place, nn.Sequential(by_wrapper), nn.Sequential(in_place), Function(function)):
            analyzed(model, grad=grad)
    assert calls == []
    with torch.no_grad():
        by_wrapper(torch.zeros(INPUT))
    assert len(calls) == 1


class Function(nn.Module):
    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args):
        return self.function(*args)


SCRIPTED = [
    pytest.param(lambda: torch.jit.script(Net()), id="torch.jit.script"),
    pytest.param(lambda: torch.jit.trace(Net().eval(), torch.zeros(INPUT)), id="torch.jit.trace"),
    pytest.param(lambda: torch.jit.freeze(torch.jit.script(Net().eval())), id="a frozen script"),
    pytest.param(lambda: torch.jit.script(Net()).eval(), id="a script in eval mode"),
]


@GRAD
@pytest.mark.parametrize("make", SCRIPTED)
def test_a_scripted_model_counts_as_a_whole(make, grad):
    report = analyzed(make(), grad=grad)
    assert report.totals.macs == MACS
    assert "unused" not in {row.status for row in report.layers}


@GRAD
def test_a_script_inside_of_a_model(grad):
    model = nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.ReLU())
    report = analyzed(model, grad=grad)
    assert [(row.path, row.class_name, row.macs, row.params) for row in report.layers] == [
        ("0", "Conv2d", 7776, 112), ("1", "ReLU", 0, 0),
    ]  # fmt: skip


def test_a_scripted_function_is_seen_through():
    @torch.jit.script
    def gated(x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)

    # a sigmoid of four and a product, for each of 6 numbers
    assert analyzed(Function(gated), ((2, 3),)).totals.flops == 6 * 5


# ---- autograd functions, vmap, subclasses


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad * ctx.saved_tensors[0]


@GRAD
def test_an_autograd_function_of_the_users_own(grad):
    assert analyzed(Function(Square.apply), ((2, 3),), grad=grad).totals.flops == 6


@GRAD
def test_vmap_over_a_function(grad):
    # for each of 3 matrices 4·5·4 products
    report = analyzed(Function(torch.vmap(lambda m: m @ m.t())), ((3, 4, 5),), grad=grad)
    assert report.totals.macs == 3 * 80


@GRAD
def test_vmap_over_a_module(grad):
    class Mapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 4)

        def forward(self, x):
            return torch.vmap(self.fc)(x)

    report = analyzed(Mapped(), ((3, 2, 5),), grad=grad)
    assert (report.totals.macs, report.layer("fc").calls) == (3 * 2 * 20, 1)


@GRAD
def test_an_ensemble_by_vmap_over_weights(grad):
    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.Parameter(torch.zeros(7, 4, 5))

        def forward(self, x):
            return torch.vmap(F.linear, in_dims=(None, 0))(x, self.weights)

    # 7 members, 2 examples, 4 outputs of 5 products
    assert analyzed(Ensemble(), ((2, 5),), grad=grad).totals.macs == 7 * 2 * 4 * 5


@GRAD
def test_a_gradient_inside_of_forward(grad):
    class Energy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 1, bias=False)

        def forward(self, x):
            return torch.func.grad(lambda t: self.fc(t).sum())(x)

    # forward 2·5, and the gradient of the input 2·5; that of the weight is not asked for
    assert analyzed(Energy(), ((2, 5),), grad=grad).totals.macs == 20


class Tagged(torch.Tensor):
    """A subclass without any behavior."""


@GRAD
def test_a_plain_subclass_of_tensor_among_the_parameters(grad):
    layer = nn.Linear(5, 4)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Tagged))
    totals = analyzed(layer, ((2, 5),), grad=grad).totals
    assert (totals.macs, totals.params) == (40, 24)


# ---- quantisation stubs, lazy modules, containers


@GRAD
def test_quantisation_stubs_cost_nothing(grad):
    model = nn.Sequential(torch.ao.quantization.QuantStub(), Net(), torch.ao.quantization.DeQuantStub())
    report = analyzed(model, grad=grad)
    assert rows(report, "1.") == ROWS
    assert [(report.layer(path).status, report.layer(path).flops) for path in "02"] == [("called", 0)] * 2


@GRAD
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
@pytest.mark.parametrize("place", ["", "1.0"])
def test_lazy_modules_are_refused_with_what_to_do(place, grad):
    lazy = nn.LazyLinear(4)
    model = nn.Sequential(nn.Flatten(), nn.Sequential(lazy)) if place else lazy
    for run in (lambda: record(model, (2, 3), grad=grad), lambda: record_real(model, (2, 3))):
        with pytest.raises(InputError) as error:
            run()
        assert f"{place or 'the model'} (LazyLinear): weight is not initialized" in str(error.value)
        assert "run the model once on real data" in str(error.value)
    model(torch.zeros(2, 3))
    assert analyzed(model, ((2, 3),), grad=grad).totals.macs == 2 * 3 * 4


# ---- forward replaced or hooked: code that may reach the model by another way than `self`


def by_a_closure(net):
    net.forward = lambda x: net.fc(net.act(net.norm(net.conv(x))).flatten(1))


def by_a_method(net):
    net.forward = types.MethodType(Net.forward, net)


def by_a_partial(net):
    net.forward = functools.partial(Net.forward, net)


def by_a_wrapper_of_its_forward(net):
    old = net.forward

    @functools.wraps(old)
    def forward(x):
        return old(x * 1)

    net.forward = forward


def by_its_class(net):
    net.__class__ = type("Net", (Net,), {"forward": Net.forward})


def by_hooks(net):
    scales = {net.fc: 1.0}
    net.conv.register_forward_hook(lambda module, args, out: out * 1)
    net.fc.register_forward_pre_hook(lambda module, args: (args[0] * scales[net.fc],))
    net.register_forward_hook(lambda module, args, kwargs, out: out, with_kwargs=True)


def by_a_hook_that_is_a_method(net):
    class Keeper:
        def __init__(self):
            self.shapes = {}

        def keep(self, module, args, out):
            self.shapes[module] = tuple(out.shape)

    net.keeper = Keeper()
    net.conv.register_forward_hook(net.keeper.keep)


REPLACED = [
    by_a_closure,
    by_a_method,
    by_a_partial,
    by_a_wrapper_of_its_forward,
    by_its_class,
    by_hooks,
    by_a_hook_that_is_a_method,
]


@GRAD
@pytest.mark.parametrize("replace", REPLACED, ids=[function.__name__.replace("_", " ") for function in REPLACED])
def test_a_forward_that_was_replaced(replace, grad):
    net = Net()
    replace(net)
    report = analyzed(net, grad=grad)
    assert rows(report) == ROWS
    assert (report.totals.macs, report.totals.params) == (MACS, PARAMS)
    assert {row.status for row in report.layers} == {"called"}


class Keeper:
    """Holds modules without being one."""

    def __init__(self, module):
        self.module = module

    def __call__(self, x):
        return self.module(x)


class ReachesBack(nn.Module):
    """Reads its parent's attributes by a reference that the module tree does not show."""

    def __init__(self, reference):
        super().__init__()
        self.reference = reference

    def forward(self, x):
        parent = self.reference() if callable(self.reference) else self.reference[0]
        return F.linear(x, parent.fc.weight) + parent.scale


class Parent(nn.Module):
    def __init__(self, refer):
        super().__init__()
        self.fc, self.scale = nn.Linear(5, 5), nn.Parameter(torch.zeros(5))
        self.child = ReachesBack(refer(self))

    def forward(self, x):
        return self.child(x)


@GRAD
@pytest.mark.parametrize(
    "refer", [pytest.param(lambda m: [m], id="in a list"), pytest.param(weakref.ref, id="by a weakref")]
)
def test_a_reference_back_to_the_parent(refer, grad):
    model = Parent(refer)
    report = analyzed(model, ((2, 5),), grad=grad)
    assert [(r.path, r.params, r.macs, r.status) for r in report.layers] == [
        ("", 5, 0, "called"), ("child", 0, 50, "called"), ("fc", 30, 0, "used"),
    ]  # fmt: skip


@GRAD
def test_a_helper_object_that_holds_a_module(grad):
    class Helped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)
            self.keeper = Keeper(self.fc)

        def forward(self, x):
            return self.keeper(x)

    report = analyzed(Helped(), ((2, 5),), grad=grad)
    assert [(r.path, r.params, r.macs, r.status) for r in report.layers] == [("fc", 30, 50, "called")]


@GRAD
def test_modules_as_keys_of_a_dictionary(grad):
    class Keyed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])
            self.times = {layer: n for n, layer in enumerate(self.layers, 1)}

        def forward(self, x):
            for layer in self.layers:
                for _ in range(self.times[layer]):
                    x = layer(x)
            return x

    assert [(r.path, r.calls) for r in analyzed(Keyed(), ((2, 5),), grad=grad).layers] == [
        ("layers.0", 1), ("layers.1", 2), ("layers.1", 2),
    ]  # fmt: skip


# ---- ambient modes


class Passing(TorchDispatchMode):
    """Another mode that the user has on."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


class PassingFunctions(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def default_device(name):
    """Set for the whole process, not for a block, as scripts do."""
    torch.set_default_device(name)
    try:
        yield
    finally:
        set_default_device(None)


AMBIENT = [
    pytest.param(lambda: default_device("meta"), id="the default device is set to meta"),
    pytest.param(lambda: default_device("cpu"), id="the default device is set to the CPU"),
    pytest.param(torch.no_grad, id="torch.no_grad"),
    pytest.param(torch.enable_grad, id="torch.enable_grad"),
    pytest.param(torch.inference_mode, id="torch.inference_mode"),
    pytest.param(lambda: torch.device("meta"), id="the default device is meta"),
    pytest.param(lambda: torch.device("cpu"), id="the default device is the CPU"),
    pytest.param(Passing, id="another dispatch mode"),
    pytest.param(lambda: FlopCounterMode(display=False), id="torch's counter of FLOPs"),
    pytest.param(PassingFunctions, id="a function mode"),
    pytest.param(lambda: torch.autograd.set_detect_anomaly(True, check_nan=False), id="anomaly detection"),
    pytest.param(lambda: torch.autograd.profiler.record_function("analysis"), id="a profiler's range"),
    pytest.param(torch.autograd.forward_ad.dual_level, id="forward differentiation"),
    pytest.param(lambda: nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH), id="a choice of attention kernels"),
    pytest.param(torch.random.fork_rng, id="a forked random generator"),
]  # fmt: skip


@GRAD
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("mode", AMBIENT)
def test_an_ambient_mode_changes_nothing(mode, grad):
    model = Net()
    expected = record(model, INPUT, grad=grad)
    with mode():
        got = record(model, INPUT, grad=grad)
    assert got == expected
    assert record(model, INPUT, grad=grad) == expected


@GRAD
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad], ids=["inference_mode", "no_grad"])
def test_a_model_and_an_input_that_were_made_in_a_mode(mode, grad):
    with mode():
        model, x = Net(), torch.zeros(INPUT)
    assert record(model, x, grad=grad) == record(Net(), INPUT, grad=grad)


def test_the_ops_of_an_analysis_are_not_shown_to_other_modes():
    with Passing() as passing, FlopCounterMode(display=False) as counter:
        record(Net(), INPUT)
    assert counter.get_total_flops() == 0
    assert not any("conv" in str(func) for func in passing.seen)


def test_a_mode_inside_of_forward_does_not_disturb():
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x):
            with torch.no_grad():
                y = self.fc(x)
            with torch.enable_grad():
                y = y + self.fc(x)
            with torch.inference_mode():
                z = self.fc(x)
            with torch.device("cpu"):
                z = z + torch.ones(5)
            return y + z

    for grad in (False, True):
        report = analyzed(Inside(), ((2, 5),), grad=grad)
        # three layers of 2·5·5 products, with their biases, and three sums of 2·5
        assert (report.totals.macs, report.totals.flops) == (150, 300 + 30 + 30)


@GRAD
def test_the_default_dtype_is_that_of_what_forward_makes(grad):
    class Makes(nn.Module):
        def forward(self, x):
            return torch.zeros(x.shape[0]), 1 / torch.arange(3)

    model = Makes()
    for dtype in (torch.float32, torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        try:
            graph = record(model, ((2, 3),), grad=grad)
        finally:
            torch.set_default_dtype(torch.float32)
        names = {graph.values[v].dtype for v in graph.outputs}
        assert names == {str(dtype).removeprefix("torch.")}


AUTOCAST = [
    pytest.param(True, id="around the analysis"),
    pytest.param(False, id="inside of forward"),
]


class Casting(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x)


@GRAD
@pytest.mark.parametrize("around", AUTOCAST)
def test_autocast_changes_no_count_and_treats_all_operands_alike(around, grad):
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))

    def run(model):
        if not around:
            return record(Casting(model), INPUT, grad=grad)
        with torch.autocast("cpu", torch.bfloat16):
            return record(model, INPUT, grad=grad)

    with torch.device("meta"):
        bare = build()
    graph = run(build())
    assert graph == run(bare)
    products = [node for node in graph.nodes if node.spec.kind in ("conv", "linear", "matmul")]
    assert len(products) == 2
    assert all(len({kind.dtype for kind in node.spec.inputs}) == 1 for node in products)
    assert cnncost.analyze(graph).totals.macs == MACS


@GRAD
@pytest.mark.parametrize("training", [False, True], ids=["in eval mode", "in train mode"])
def test_a_transformer_layer_costs_the_same_whatever_path_it_takes(training, grad):
    """Its fused path runs only in eval mode without gradients, and not under inference_mode with gradients."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train(training)
    frozen = copy.deepcopy(layer).requires_grad_(False)
    with torch.inference_mode():
        inside = analyzed(layer, ((2, 5, 8),), grad=grad).totals
    for totals in (inside, *(analyzed(model, ((2, 5, 8),), grad=grad).totals for model in (layer, frozen))):
        # projections of Q, K, V and the result, scores and sums, two layers between 8 and 16
        assert totals.macs == 4 * 2 * 5 * 64 + 2 * 2 * 25 * 8 + 2 * 2 * 5 * 8 * 16


@GRAD
def test_what_code_keeps_on_a_parameter_is_found_there(grad):
    class Marked(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)
            self.fc.weight.times = 3
            self.register_buffer("mean", torch.zeros(5))
            self.mean.kind = "running"

        def forward(self, x):
            for _ in range(self.fc.weight.times):
                x = self.fc(x)
            return x - self.mean if self.mean.kind == "running" else x

    report = analyzed(Marked(), ((2, 5),), grad=grad)
    assert (report.totals.macs, report.layer("fc").calls) == (150, 3)


class Differentiating(nn.Module):
    """The gradient of a network by its input, as energy models and physics-informed networks have it."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 1, bias=False)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.fc(x).sum(), x)[0]


def test_a_forward_that_differentiates_is_analyzed():
    model, x = Differentiating(), torch.ones(2, 5)
    with torch.no_grad():
        assert model(x).shape == (2, 5)
    report = cnncost.analyze(model, x)
    # forward is 2·5 products, and so is the gradient by the input; that by the weight is not asked for
    assert report.totals.macs == 20


class Generates(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x):
        for _ in range(3):
            x = self.fc(x)
            yield x


class Maps(Generates):
    def forward(self, x):
        return map(self.fc, [x, x, x])


class Awaits(Generates):
    async def forward(self, x):
        return self.fc(self.fc(self.fc(x)))


@GRAD
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [Generates, Maps, Awaits])
def test_a_forward_that_does_its_work_later_is_counted_or_refused(kind, grad):
    """What it returns has yet to run: nothing would be a wrong answer."""
    macs, refusal = 0, ""
    try:
        macs = analyzed(kind(), ((2, 5),), grad=grad).totals.macs
    except cnncost.CnncostError as error:
        refusal = str(error)
    assert macs == 150 or kind.__name__ in refusal


class Plain:
    """An object of the user's own."""


class Stores(nn.Module):
    """Leaves its result where another module looks for it."""

    def __init__(self, store):
        super().__init__()
        self.store, self.fc = store, nn.Linear(5, 5, bias=False)

    def forward(self, x):
        y = self.fc(x)
        if hasattr(self.store, "append"):
            self.store.append(y)
        elif isinstance(self.store, set):
            self.store.add(y)
        elif isinstance(self.store, dict):
            self.store["y"] = y
        else:
            self.store.y = y


class Collects(nn.Module):
    def __init__(self, store):
        super().__init__()
        self.store, self.child = store, Stores(store)

    def forward(self, x):
        self.child(x)
        found = vars(self.store) if hasattr(self.store, "__dict__") and not isinstance(self.store, dict) else self.store
        (y,) = found.values() if isinstance(found, dict) else found
        return y.exp()


STORES = [dict, list, set, collections.deque, collections.OrderedDict, types.SimpleNamespace, Plain]


@GRAD
@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_a_container_that_two_modules_share_is_one(kind, grad):
    model = Collects(kind())
    report = analyzed(model, ((2, 5),), grad=grad)
    # a product, and the exponentials of its 2·5 results
    assert (report.totals.macs, report.totals.flops) == (50, 110)
    assert not (vars(model.store) if isinstance(model.store, Plain) else model.store != kind())


@GRAD
def test_containers_that_contain_themselves(grad):
    model = Net()
    model.ring, model.circle = [], {}
    model.ring.append(model.ring)
    model.circle["me"] = model.circle
    assert analyzed(model, grad=grad).totals.macs == MACS


@GRAD
def test_a_module_with_slots(grad):
    class Slotted(nn.Module):
        __slots__ = ("times",)

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)
            self.times = 2

        def forward(self, x):
            for _ in range(self.times):
                x = self.fc(x)
            return x

    assert analyzed(Slotted(), ((2, 5),), grad=grad).totals.macs == 100
