"""An analysis leaves everything unchanged: the model, its tensors, torch, and other threads."""

import gc
import random
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # torch's own name for it

import cnncost
from cnncost.frontends.torch import leftovers, memo
from tests.samples import sample

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


# ---- what is compared


def held(value):
    """A value by identity; containers and plain objects with all that they hold, tensors with all their state."""
    if isinstance(value, torch.Tensor):
        bits = None if value.is_meta else value.detach().clone().view(-1).view(torch.uint8).tolist()
        return (
            id(value), bits, value.is_meta or value.data_ptr(), tuple(value.shape), value.stride(), value.dtype,
            value.requires_grad, id(value.grad) if value.grad is not None else None, value._version,
            None if value.grad is None else value.grad.tolist(),
        )  # fmt: skip
    if isinstance(value, dict):
        return id(value), [(held(key), held(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return id(value), [held(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return id(value), sorted(id(item) for item in value)
    if isinstance(value, SimpleNamespace):
        return id(value), held(vars(value))
    return id(value)


def state_of(model):
    """All that the modules of a model hold, by path and attribute."""
    state = {}
    for path, module in model.named_modules():
        state[path, "class"], state[path, "dictionary"] = type(module), id(module.__dict__)
        for name, value in vars(module).items():
            state[path, name] = held(value)
    return state


def changed(before, after):
    """The names of attributes that have changed."""
    return [key for key in {**before, **after} if before.get(key, "absent") != after.get(key, "absent")]


def state_of_torch():
    python, version = random.getstate(), sys.getrecursionlimit()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  # the global generator, which models use
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly mode": torch.is_anomaly_enabled(),
        "autocast": (
            torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled(),
        ),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "function modes": torch._C._len_torch_function_stack(),
        "generator of torch": torch.get_rng_state().tolist(),
        "generator of Python": python,
        "generator of numpy": (kind, keys.tolist(), rest),
        "nn.Module.__call__": nn.Module.__call__,
        "nn.Module._call_impl": (nn.Module._call_impl, nn.Module._call_impl.__code__),
        "recursion limit": sys.getrecursionlimit(),
        "F.scaled_dot_product_attention": nn.functional.scaled_dot_product_attention,
        "functions": (torch.tensor, torch.as_tensor, torch.Tensor.__torch_function__, nn.functional.linear),
        "collection": gc.isenabled(),
        "recursion": version,
        "path": list(sys.path),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "excluded keys": str(torch._C._dispatch_tls_local_exclude_set()),
        "included keys": str(torch._C._dispatch_tls_local_include_set()),
    }  # fmt: skip


# ---- forwards that leave something behind


class Net(nn.Module):
    """Two layers, a buffer, and containers. `spoil` is what each test does in forward."""

    def __init__(self, spoil):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.out[0].bias.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(8))
        self.spoil = spoil
        self.log, self.cache, self.seen = [], {}, set()
        self.full, self.ordered, self.queue = [torch.ones(2)], OrderedDict(a=1), deque([torch.ones(2)], maxlen=2)
        self.nested = {"k": [], "v": [{"deep": []}]}
        self.stats = SimpleNamespace(calls=0, last=None)
        self.table = torch.zeros(8)

    def forward(self, x):
        self.spoil(self, x)
        return self.out(self.fc(x))


def sets_attributes(net, x):
    net.last, net.steps, net.fc.input = x * 2, 1, x


def replaces_attributes(net, x):
    net.log, net.cache, net.table = [x], {"x": x}, x.mean(0)


def fills_empty_containers(net, x):
    net.log.append(x * 2)
    net.cache["x"] = x
    net.seen.add(3)


def changes_full_containers(net, x):
    net.full.append(x)
    net.full[0] = x
    net.ordered["b"] = x
    net.ordered.pop("a")
    net.queue.append(x)
    net.queue.append(x)


def fills_nested_containers(net, x):
    net.nested["k"].append(x)
    net.nested["v"][0]["deep"].append(x)
    net.nested["new"] = x


def writes_to_a_helper(net, x):
    net.stats.calls += 1
    net.stats.last = x


def updates_a_buffer(net, x):
    net.mean.mul_(0.9).add_(1)


def updates_a_buffer_from_activations(net, x):
    net.mean.mul_(0.9).add_(x.detach().mean(0))
    net.mean[0] = 3


def sets_a_buffer(net, x):
    net.mean = net.mean * 0.9 + x.mean(0)


def sets_the_data_of_a_buffer(net, x):
    net.mean.data = x.mean(0)


def resizes_a_buffer(net, x):
    net.mean.resize_(3)


def updates_a_plain_tensor(net, x):
    net.table += 1
    net.table.add_(x[0])
    net.full[0] += 1


def sets_the_data_of_a_weight(net, x):
    net.fc.weight.data = net.fc.weight.data * 2


def writes_to_the_data_of_a_weight(net, x):
    net.fc.weight.data.clamp_(-1, 1).div_(net.fc.weight.data.norm())


def writes_to_a_weight(net, x):
    with torch.no_grad():
        net.fc.weight.mul_(2)
        net.fc.weight[0] = 0
        net.fc.bias.copy_(x[0].detach())
        nn.init.zeros_(net.out[0].weight)


def replaces_a_weight(net, x):
    net.fc.weight = nn.Parameter(net.fc.weight.detach() * 2)


def deletes_a_weight(net, x):
    del net.fc.bias
    net.fc.bias = None


def freezes_a_weight(net, x):
    net.fc.weight.requires_grad_(False)
    net.out[0].bias.requires_grad_(True)


def leaves_a_gradient(net, x):
    net.fc.weight.grad = torch.zeros_like(net.fc.weight)


def changes_the_mode(net, x):
    net.train(not net.training)
    net.fc.eval()


def casts_itself(net, x):
    net.double()
    net.float()


def moves_itself(net, x):
    net.to(x.device)


def adds_to_itself(net, x):
    net.add_module("late", nn.Linear(8, 8))
    net.fc.register_buffer("late", torch.zeros(3))
    net.fc.register_parameter("late_too", nn.Parameter(torch.zeros(3)))
    net.out.append(nn.ReLU())


def replaces_a_child(net, x):
    net.out[1] = nn.Identity()


def registers_hooks(net, x):
    net.fc.register_forward_hook(lambda *_: None)
    net.fc.register_forward_pre_hook(lambda *_: None)
    net.out.register_full_backward_hook(lambda *_: None)


def becomes_another_class(net, x):
    net.out[2].__class__ = nn.Identity


def changes_what_it_was_given(net, x):
    x.add_(1)
    x[0] = 2


def draws_random_numbers(net, x):
    random.random()  # noqa: S311  # no secret
    np.random.rand()  # noqa: NPY002  # the global generator, which models use
    torch.manual_seed(5)
    torch.rand(3)
    F.dropout(x, 0.5, training=True)


def changes_grad_mode(net, x):
    torch.set_grad_enabled(not torch.is_grad_enabled())


def changes_the_default_dtype(net, x):
    torch.set_default_dtype(torch.float64)


def changes_the_default_device(net, x):
    torch.set_default_device("meta")


def does_nothing(net, x):
    pass


SPOILERS = [
    pytest.param(function, id=function.__name__.replace("_", " "))
    for function in [
        does_nothing,
        sets_attributes,
        replaces_attributes,
        fills_empty_containers,
        changes_full_containers,
        fills_nested_containers,
        writes_to_a_helper,
        updates_a_buffer,
        updates_a_buffer_from_activations,
        sets_a_buffer,
        sets_the_data_of_a_buffer,
        resizes_a_buffer,
        updates_a_plain_tensor,
        sets_the_data_of_a_weight,
        writes_to_the_data_of_a_weight,
        writes_to_a_weight,
        replaces_a_weight,
        deletes_a_weight,
        freezes_a_weight,
        leaves_a_gradient,
        changes_the_mode,
        casts_itself,
        moves_itself,
        adds_to_itself,
        replaces_a_child,
        registers_hooks,
        becomes_another_class,
        changes_what_it_was_given,
        draws_random_numbers,
        changes_grad_mode,
        changes_the_default_dtype,
        changes_the_default_device,
    ]
]


def then_fails(spoil):
    """The same, and then an error."""

    def fails(net, x):
        spoil(net, x)
        raise ValueError("after all that")

    return fails


@pytest.mark.parametrize("fails", [False, True], ids=["forward returns", "forward raises"])
@pytest.mark.parametrize("weights", ["cpu", "meta"], ids=["with weights", "without weights"])
@pytest.mark.parametrize("spoil", SPOILERS)
def test_nothing_is_left_of_a_forward(spoil, weights, fails):
    torch.manual_seed(0)
    model = Net(then_fails(spoil) if fails else spoil).to(weights)
    given = torch.rand(4, 8)
    random.seed(7)  # no state that a recording might happen to leave
    np.random.seed(7)  # noqa: NPY002  # the global generator, which models use
    saved = {key: value.clone() for key, value in model.state_dict().items()}
    for grad in (False, True):
        model.train(grad)
        before, input_before, torch_before = state_of(model), held(given), state_of_torch()

        if fails:
            with pytest.raises(cnncost.CnncostError, match="after all that"):
                cnncost.record(model, given, grad=grad)
        else:
            cnncost.record(model, given, grad=grad)

        assert changed(torch_before, state_of_torch()) == []
        assert changed(before, state_of(model)) == []
        assert held(given) == input_before
    if weights == "cpu":
        assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())
    assert list(model.state_dict()) == list(saved)


@pytest.mark.parametrize(
    ("spoil", "walks"),
    [
        # for each level of containers above a tensor: the dict of the module or of the helper; lists within
        pytest.param(sets_attributes, 2, id="an attribute"),
        pytest.param(writes_to_a_helper, 2, id="an attribute of a helper"),
        pytest.param(fills_empty_containers, 3, id="a list"),
        pytest.param(fills_nested_containers, 4, id="a list in a dict in a list"),
    ],
)
def test_the_search_for_a_tensors_holders_ends_where_no_container_holds_them(spoil, walks, monkeypatch):
    """Each level is a walk over all objects of the process, except those that the search itself creates."""
    walked, walk = [], leftovers._Search._find_holders
    monkeypatch.setattr(
        leftovers._Search, "_find_holders", lambda search, of: walked.append(len(of)) or walk(search, of)
    )
    with pytest.raises(cnncost.CnncostError, match="after all that"):
        cnncost.record(Net(then_fails(spoil)), (4, 8))
    assert len(walked) == walks


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize(
    "error", [ValueError, KeyError, RecursionError, StopIteration], ids=lambda error: error.__name__
)
def test_an_error_deep_inside_leaves_nothing(depth, error):
    class Fails(nn.Module):
        def forward(self, x):
            raise error("deep inside")

    model = nn.Sequential(nn.Linear(8, 8), Fails())
    for _ in range(depth):
        model = nn.Sequential(nn.Linear(8, 8), model)
    before, torch_before = state_of(model), state_of_torch()
    with pytest.raises(cnncost.CnncostError):
        cnncost.analyze(model, (4, 8))
    assert changed(before, state_of(model)) == []
    assert changed(torch_before, state_of_torch()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit], ids=lambda error: error.__name__)
def test_an_interrupt_passes_through_and_leaves_nothing(error):
    def interrupts(net, x):
        sets_attributes(net, x)
        updates_a_buffer(net, x)
        raise error

    model = Net(interrupts)
    before, torch_before = state_of(model), state_of_torch()
    with pytest.raises(error):
        cnncost.analyze(model, (4, 8))
    assert changed(before, state_of(model)) == []
    assert changed(torch_before, state_of_torch()) == []


def test_a_model_that_cannot_be_walked_is_left_alone():
    model = Net(does_nothing)
    model.fc.parent = model
    torch_before = state_of_torch()
    with pytest.raises(cnncost.CnncostError, match="contains itself"):
        cnncost.analyze(model, (4, 8))
    assert changed(torch_before, state_of_torch()) == []


def test_a_training_step_that_is_under_way_can_be_finished():
    """Backward checks that no tensor it saved was written to since."""
    torch.manual_seed(0)
    model, twin = Net(updates_a_buffer_from_activations).train(), Net(updates_a_buffer_from_activations).train()
    twin.load_state_dict(model.state_dict())
    x = torch.rand(4, 8)
    torch.manual_seed(1)
    loss, expected = (model(x) * model.mean).sum(), None
    torch.manual_seed(1)
    expected = (twin(x) * twin.mean).sum()
    cnncost.analyze(model, x)
    cnncost.record(model, x, grad=True)
    loss.backward()
    expected.backward()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_gradients_that_are_there_stay():
    model = nn.Linear(8, 8)
    model(torch.ones(1, 8)).sum().backward()
    before = state_of(model)
    for grad in (False, True):
        cnncost.record(model, (4, 8), grad=grad)
    assert changed(before, state_of(model)) == []
    assert model.weight.grad is not None


def test_the_numbers_that_a_model_gives_are_the_same_afterwards():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten(), nn.Linear(144, 5)).eval()
    x = torch.rand(2, 3, 8, 8)
    before = model(x)
    for _ in range(3):
        cnncost.analyze(model, x)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
def test_garbage_collection_stays_as_it_was(enabled):
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        cnncost.record(nn.Linear(8, 8), (4, 8))
        assert gc.isenabled() is enabled
        with pytest.raises(cnncost.CnncostError):
            cnncost.record(nn.Linear(8, 8), (4, 9))
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


# ---- other threads


def test_another_thread_runs_its_model_meanwhile():
    """Its results are right, its ops are not recorded, and it is not slowed to a stop."""
    began, finished = threading.Event(), threading.Event()
    torch.manual_seed(0)
    real, x = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.rand(4, 8)
    want = real(x)
    results = []

    def meanwhile(net, x):
        began.set()
        assert finished.wait(30)

    def run():
        assert began.wait(30)
        results.append((real(x), torch.ones(2).device.type, torch.is_grad_enabled()))
        finished.set()

    thread = threading.Thread(target=run)
    thread.start()
    graph = cnncost.record(Net(meanwhile).eval(), (4, 8))
    thread.join(30)

    ((got, device, grad),) = results
    assert torch.equal(got, want)
    assert (device, grad, got.requires_grad) == ("cpu", True, True)
    assert {scope.class_name for scope in graph.scopes} == {"Net", "Linear", "Sequential", "BatchNorm1d", "Dropout"}
    assert sum(scope.calls for scope in graph.scopes) == len(graph.calls) == 6
    assert [node.name for node in graph.nodes if node.spec.kind == "pointwise"] == []


def test_the_very_model_that_is_analyzed_may_run_in_another_thread():
    began, finished = threading.Event(), threading.Event()
    main = threading.get_ident()
    torch.manual_seed(0)

    def meanwhile(net, x):
        if threading.get_ident() == main:
            began.set()
            assert finished.wait(30)

    model, x, results = Net(meanwhile).eval(), torch.rand(4, 8), []
    with torch.no_grad():
        want = model.out(model.fc(x))

    def run():
        assert began.wait(30)
        with torch.no_grad():
            results.append(model(x))
        finished.set()

    thread = threading.Thread(target=run)
    thread.start()
    cnncost.analyze(model, (4, 8))
    thread.join(30)
    assert torch.equal(results[0], want)


def test_two_analyses_at_once():
    """The first ends while the second is at work."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    graphs = {}
    before = state_of_torch()

    def first_forward(net, x):
        first_in.set()
        second_in.wait(0.3)  # in vain if one waits for the other

    def second_forward(net, x):
        second_in.set()
        first_out.wait(0.3)

    def first():
        graphs["first"] = cnncost.record(Net(first_forward).eval(), (4, 8))
        first_out.set()

    def second():
        first_in.wait(30)
        graphs["second"] = cnncost.record(Net(second_forward).eval(), (4, 8))

    threads = [threading.Thread(target=run) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert graphs["first"] == graphs["second"] == cnncost.record(Net(does_nothing).eval(), (4, 8))
    assert changed(before, state_of_torch()) in (
        [],
        ["generator of torch"],
    )  # weights were drawn when the models were built


def test_an_analysis_inside_of_a_forward():
    def analyzes(net, x):
        net.report = cnncost.analyze(nn.Linear(3, 3), (2, 3))

    outer = cnncost.analyze(Net(analyzes).eval(), (4, 8))
    plain = cnncost.analyze(Net(does_nothing).eval(), (4, 8))
    assert outer.totals.macs == plain.totals.macs == 2 * 4 * 8 * 8


@pytest.mark.parametrize("trace", ["static", "real"])
def test_an_analysis_inside_of_a_forward_is_none_of_its_ops(trace):
    """Also if the inner one creates its cached value, at the first call."""
    other = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train()

    class Analyzes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            cnncost.analyze(other, (2, 3), trace=trace)
            return self.layer(x)

    memo.clear()
    model = Analyzes()
    for _ in range(4):
        assert [node.name for node in cnncost.record(model, (4, 8)).nodes] == ["aten.linear"]


# ---- a fresh process

LIGHT = """
import sys
import cnncost
for name in "lenet5 lenet300 conv6_16 alexnet vgg11 vgg11_lrn vgg16_c resnet18 resnet50 plain18".split():
    assert cnncost.analyze(name).totals.macs > 0
heavy = "torch._dynamo torch._inductor sympy pandas rich fvcore".split()
print(",".join(name for name in heavy if name in sys.modules))
"""


def run(code):
    done = subprocess.run(  # our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_the_zoo_is_analyzed_without_the_compiler_of_torch_nor_pandas():
    assert run(LIGHT) == ""


def test_importing_the_package_brings_in_neither_torch_nor_pandas():
    code = "import sys, cnncost; print([m for m in ('torch', 'pandas', 'numpy', 'rich', 'click') if m in sys.modules])"
    assert run(code) == "[]"


def test_generators_that_a_module_holds_are_not_advanced():
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.of_torch = torch.Generator().manual_seed(1)
            self.of_numpy = np.random.default_rng(1)
            self.of_python = random.Random(1)  # noqa: S311  # no secret

        def forward(self, x):
            x = x + torch.rand(8, generator=self.of_torch) * float(self.of_numpy.random())
            return x * self.of_python.random()

    model, fresh = Draws(), Draws()
    for grad in (False, True):
        cnncost.record(model, (4, 8), grad=grad)
    assert torch.equal(model.of_torch.get_state(), fresh.of_torch.get_state())
    assert model.of_numpy.bit_generator.state == fresh.of_numpy.bit_generator.state
    assert model.of_python.getstate() == fresh.of_python.getstate()


FIRST = """
import warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
import cnncost
torch.set_num_threads(1)
class Net(nn.Module):
    def forward(self, x):
        y = (1 - x).clamp(0, 1)
        z = torch.where(y > 0.5, y, x) @ y.t()
        return z.softmax(-1) * 2
model = Net()
graphs = [cnncost.record(model, (2, 3), grad=GRAD) for _ in range(3)]
print(graphs[0] == graphs[1] == graphs[2])
"""
AFTERWARDS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
    def forward(self, x):
        # torch imports its compiler for one of these
        return (1 - x.roll(1, 0)).clamp(0, 1) @ self.fc(x).t() + torch.tensor([1.0])

model, x = Net(), torch.ones(2, 3)
cnncost.record(model, (2, 3), grad=GRAD)

def literal(x):
    return x + torch.tensor([1.0]) + torch.as_tensor([2.0])

for compiled in (
    torch.compile(literal, backend="eager", fullgraph=True),
    torch.compile(model, backend="eager", fullgraph=True),
    torch.jit.script(nn.Sequential(nn.Conv1d(2, 2, 1), nn.ReLU())),
):
    compiled(x)
print("works")
"""


@pytest.fixture(
    scope="module",
    params=sample([pytest.param(True, id="with autograd"), pytest.param(False, id="below autograd")], 1),
)
def said(request):
    """Output of a fresh process: its first analyses, then torch's compilers."""
    return run((FIRST + AFTERWARDS).replace("GRAD", str(request.param))).splitlines()


def test_the_first_analysis_of_a_process_gives_what_the_second_gives(said):
    assert said[0] == "True"


@pytest.mark.long
def test_what_torch_compiles_after_an_analysis_it_compiles_as_before(said):
    """Its compilers keep tables of torch's functions by identity, built when they are first imported or used."""
    assert said[1:] == ["works"]
