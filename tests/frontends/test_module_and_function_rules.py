"""Rules for modules and autograd Functions with their own kernels, compared with the same networks in plain torch."""

import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import cnncost
from cnncost.errors import RuleError
from cnncost.frontends.torch import record

torch.set_num_threads(1)


class Opaque(nn.Module):
    """A linear layer with a kernel outside torch: forward can't run on tensors without data."""

    runs = 0

    def __init__(self, c, k):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(k, c)), nn.Parameter(torch.zeros(k))

    def forward(self, x):
        if not int(x.data_ptr()):
            raise SystemError("the kernel was run without data")
        Opaque.runs += 1
        return x @ self.weight.t() + self.bias


class Below(Opaque):
    def forward(self, x):
        return super().forward(x)


class Old(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        assert not x.is_meta
        ctx.save_for_backward(x, w)
        return x @ w.t()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, g.t() @ x


class New(torch.autograd.Function):
    @staticmethod
    def forward(x, w, bias=None):
        assert not x.is_meta
        return x @ w.t()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, g.t() @ x, None


BOUND = {Old: Old.apply, New: New.apply}


class Linear(nn.Module):
    """By a Function, whose `apply` was bound when the file was imported."""

    def __init__(self, function, c, k):
        super().__init__()
        self.apply_, self.weight = BOUND[function], nn.Parameter(torch.randn(k, c))

    def forward(self, x):
        return self.apply_(x, self.weight)


class Plain(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(k, c))

    def forward(self, x):
        return x @ self.weight.t()


def product(n, k, c):
    return cnncost.macs("N", n, "K", k, "C", c)


def of_module(module, x):
    k, c = module.weight.shape
    n = x.shape[0]

    def backward(inputs, parameters):
        return [product(n, k, c)] * (inputs + parameters)

    return cnncost.custom(((n, k), x.dtype), product(n, k, c), backward=backward)


def of_function(x, w, bias=None):
    return ((x.shape[0], w.shape[0]), x.dtype), [product(x.shape[0], *w.shape)]


RULES = {Opaque: of_module, Old: of_function, New: of_function}
KINDS = {
    "module": (Opaque, nn.Linear), "subclass": (Below, nn.Linear),
    "function": (lambda c, k: Linear(Old, c, k), Plain), "setup_context": (lambda c, k: Linear(New, c, k), Plain),
}  # fmt: skip


@pytest.fixture(autouse=True)
def rules():
    with cnncost.custom_rules(RULES):
        yield


def net(layer):
    return nn.Sequential(nn.Linear(8, 16), layer(16, 32), nn.ReLU(), nn.Sequential(layer(32, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_plain_torch(kind):
    opaque, plain = (cnncost.analyze(net(layer), (5, 8), training=True) for layer in KINDS[kind])
    assert opaque.totals.macs == plain.totals.macs == 5 * (8 * 16 + 16 * 32 + 32 * 4)
    assert opaque.totals.params == plain.totals.params
    backward = 5 * (8 * 16 + 2 * 16 * 32 + 2 * 32 * 4)  # the first layer's input gets no gradient
    assert [row.macs for row in opaque.phases] == [row.macs for row in plain.phases] == [opaque.totals.macs, backward]
    assert {s.nbytes for s in opaque.training.storages if s.use == "gradient"} == {
        s.nbytes for s in plain.training.storages if s.use == "gradient"
    }
    assert opaque.memory.training_peak == plain.memory.training_peak


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memo", [True, False])
def test_forward_is_not_run_and_the_row_is_the_modules(kind, memo):
    model = net(KINDS[kind][0])
    before = Opaque.runs
    for _ in range(4):  # kept skeletons, too
        graph = record(model, (5, 8), use_memo=memo)
    assert Opaque.runs == before
    nodes = [node for node in graph.nodes if node.spec.kind == "custom"]
    assert [graph.call_path(node.call) for node in nodes] == ["1", "3.0"]
    report = cnncost.analyze(model, (5, 8))
    assert report.layer("1").kind == "custom"
    assert report.layer("1").macs == 5 * 16 * 32
    assert not report.unknown
    assert "5·32·16 = 2,560" in report.explain("1")
    assert all(run.__name__ != "on_forward" for run in (Old.forward, New.forward))
    assert "forward" not in vars(model[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_values_counts_by_the_rule_alone(kind):
    report = cnncost.analyze(net(KINDS[kind][0]), torch.randn(5, 8), trace="real")
    assert report.totals.macs == 5 * (8 * 16 + 16 * 32 + 32 * 4)
    assert [node.spec.kind for node in report.graph.nodes] == ["linear", "custom", "pointwise", "custom"]


@pytest.mark.parametrize("given", [torch.randn(5, 8), (5, 8)], ids=["values", "a shape"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_on_values_counts_what_a_static_one_does(kind, given):
    model = net(KINDS[kind][0])
    static = cnncost.analyze(model, (5, 8), training=True)
    real = cnncost.analyze(model, given, training=True, trace="real")
    assert [row.macs for row in real.phases] == [row.macs for row in static.phases]
    customs = [[n.name for n in r.training.nodes if n.spec.kind == "custom"] for r in (static, real)]
    assert customs[0] == customs[1]


def test_a_model_runs_and_trains_as_before_after_an_analysis():
    torch.manual_seed(0)
    for layer, _ in KINDS.values():
        model, x = net(layer), torch.randn(5, 8)
        model(x).sum().backward()
        expected = [p.grad.clone() for p in model.parameters()]
        cnncost.analyze(model, x, training=True)
        model.zero_grad()
        model(x).sum().backward()
        assert all(map(torch.equal, expected, [p.grad for p in model.parameters()]))


def test_the_exact_class_comes_first_and_rules_can_be_taken_away():
    with cnncost.custom_rules({Below: lambda _, x: (((x.shape[0], 32), x.dtype), product(1, 2, 3))}):
        assert cnncost.analyze(Below(16, 32), (5, 16)).totals.macs == 6
        assert cnncost.analyze(Opaque(16, 32), (5, 16)).totals.macs == 5 * 16 * 32
    assert cnncost.analyze(Below(16, 32), (5, 16)).totals.macs == 5 * 16 * 32
    cnncost.forget_rule(Opaque)
    with pytest.raises(cnncost.CnncostError, match="without data"):
        cnncost.analyze(Below(16, 32), (5, 16))
    with pytest.raises(ValueError, match="has no rule"):
        cnncost.forget_rule(Opaque)


def test_a_changed_rule_changes_the_report_of_a_kept_model():
    model = net(Opaque)
    first = [cnncost.analyze(model, (5, 8)).totals.macs for _ in range(3)]
    cnncost.module_rule(Opaque, replace=True)(lambda m, x: (((5, m.weight.shape[0]), x.dtype), product(1, 1, 1)))
    assert first == [5 * (8 * 16 + 16 * 32 + 32 * 4)] * 3
    assert cnncost.analyze(model, (5, 8)).totals.macs == 5 * 8 * 16 + 2


@dataclass
class Result:
    hidden: torch.Tensor
    scores: object = None


class Many(nn.Module):
    """A module whose forward can't run; a rule declares its nested outputs."""

    def forward(self, x, *, mask=None):
        raise SystemError


@pytest.mark.parametrize(
    ("said", "use"),
    [
        (lambda x: (x, ((3,), "int64")), lambda y: y[0]),
        (lambda x: [x, x], lambda y: y[0] + y[1]),
        (lambda x: {"a": x, "b": None}, lambda y: y["a"]),
        (lambda x: OrderedDict(a=(x, x)), lambda y: y["a"][1]),
        (lambda x: defaultdict(list, a=x), lambda y: y["a"]),
        (lambda x: Result(x, [x]), lambda y: y.hidden + y.scores[0]),
        (lambda x: (*x.shape,), lambda y: y),
        (lambda x: (torch.Size(x.shape), torch.float32), lambda y: y),
    ],
    ids=["pair", "list", "dict", "nested", "default dict", "dataclass", "shape alone", "torch's types"],
)
def test_several_outputs_in_any_nest(said, use):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = Many(), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(use(self.inner(self.head.weight.new_zeros(5, 8) + x, mask=x)))

    def rule(module, x, *, mask=None):
        assert (mask.shape, mask.dtype) == ((5, 8), "float32")
        return cnncost.custom(said(x), cnncost.macs("N", 7))

    with cnncost.custom_rules({Many: rule}):
        report = cnncost.analyze(Net(), (5, 8), training=True)
    assert report.totals.macs == 7 + 5 * 8 * 2


def test_backward_is_assumed_to_be_twice_forward_and_says_so():
    report = cnncost.analyze(nn.Sequential(nn.Linear(8, 16), Linear(Old, 16, 4)), (5, 8), training=True)
    names = [node.name for node in report.training.nodes if node.spec.kind == "custom"]
    assert names == ["Old", "Old backward (assumed: 2× forward)"]
    assert "backward of Old assumed to be 2× forward" in str(report)
    assert [row.macs for row in report.phases][1] == 5 * 8 * 16 + 2 * 5 * 16 * 4


@pytest.mark.parametrize("kinds", [["function"], ["setup_context"], ["function", "module", "setup_context"]])
def test_what_is_assumed_is_still_said_of_a_report_from_a_file(kinds, tmp_path):
    model = nn.Sequential(nn.Linear(8, 16), *(KINDS[kind][0](16, 16) for kind in kinds))
    report = cnncost.analyze(model, (5, 8), training=True)
    names = report.assumed  # in the order of backward
    assert names == tuple({"function": "Old", "setup_context": "New"}[kind] for kind in kinds[::-1] if kind != "module")
    report.save(tmp_path / "cost.json")
    again = cnncost.analyze(str(tmp_path / "cost.json"))
    assert again.assumed == names
    for text in (str(again), again.to_markdown(), again.to_html()):
        assert f"backward of {', '.join(names)} assumed to be 2× forward" in " ".join(text.split())
    assert str(again) == str(report)
    assert again.to_json() == report.to_json()


def test_nothing_is_assumed_of_forward_or_of_a_stated_backward():
    def rule(x, w, *rest):
        return cnncost.custom(
            ((x.shape[0], w.shape[0]), x.dtype), cnncost.macs("N", 5), backward=[cnncost.macs("N", 7)]
        )

    model = nn.Sequential(nn.Linear(8, 16), KINDS["function"][0](16, 4))
    assert cnncost.analyze(model, (5, 8)).assumed == ()
    with cnncost.custom_rules({Old: rule}):
        report = cnncost.analyze(model, (5, 8), training=True)
    assert report.assumed == ()
    assert "assumed" not in report.to_json()


@pytest.mark.parametrize("kind", ["module", "function", "setup_context"])
def test_saved_bytes_live_until_backward_and_only_in_training(kind):
    def rule(first, x, *rest):
        x, k = (x, 4) if isinstance(first, nn.Module) else (first, 4)
        return cnncost.custom(((x.shape[0], k), x.dtype), saved=10**6, saves_inputs=False)

    model = nn.Sequential(nn.Linear(8, 16), KINDS[kind][0](16, 4))
    with cnncost.custom_rules(dict.fromkeys(RULES, rule)):
        report = cnncost.analyze(model, (5, 8), training=True)
    assert 10**6 not in [s.nbytes for s in report.graph.storages]
    (saved,) = [s for s in report.training.storages if s.nbytes == 10**6]
    backward = next(i for i, node in enumerate(report.training.nodes) if "backward" in node.name)
    assert saved.died == backward
    assert report.memory.training_peak >= 10**6


def test_hooks_checkpoints_and_frozen_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 16), Opaque(16, 4)
            self.second.register_forward_hook(lambda _m, _a, y: y * 2)

        def forward(self, x):
            return checkpoint(lambda y: self.second(self.first(y)), x, use_reentrant=False)

    report = cnncost.analyze(Net(), (5, 8), training=True)
    forward = 5 * (8 * 16 + 16 * 4)
    again = forward  # forward once more in backward
    assert [row.macs for row in report.phases] == [forward, again + 5 * 8 * 16 + 2 * 5 * 16 * 4]
    assert report.totals.flops == 2 * forward + 5 * 16 + 5 * 4

    model = net(Opaque)
    model[1].requires_grad_(False)
    phases = cnncost.analyze(model, (5, 8), training=True).phases
    assert phases[1].macs == 5 * (8 * 16 + 16 * 32 + 2 * 32 * 4)


def test_other_threads_run_the_real_forward(monkeypatch):
    seen = []

    def rule(module, x):
        thread = threading.Thread(target=lambda: seen.append(Opaque(2, 3)(torch.ones(1, 2)).shape))
        thread.start()
        thread.join()
        return of_module(module, x)

    with cnncost.custom_rules({Opaque: rule}):
        cnncost.analyze(Opaque(8, 4), (5, 8))
    assert seen == [(1, 3)]


@pytest.mark.parametrize("layer", [lambda: Opaque(4, 4), lambda: nn.Linear(4, 4)], ids=["covered", "plain"])
def test_rules_leave_room_for_deep_models(layer):
    model = layer()
    for _ in range(175):  # Python's stack has room for about 240 in torch alone
        model = nn.Sequential(model)
    assert cnncost.analyze(model, (2, 4)).totals.macs == 32


class Encoder(nn.TransformerEncoderLayer):
    """A layer that torch runs as one kernel where no rule covers it."""


def test_a_rule_comes_before_the_kernel_of_an_encoder_layer():
    model = Encoder(8, 2, 16, batch_first=True).eval().requires_grad_(False)
    with cnncost.custom_rules({Encoder: lambda module, x: (x, cnncost.macs("N", 40))}):
        graph = record(model, (2, 256, 8))
        report = cnncost.analyze(model, (2, 256, 8))
    assert (graph.fused, [node.name for node in graph.nodes]) == ((), ["Encoder"])
    peak = sum(p.nbytes for p in model.parameters()) + 2 * (2 * 256 * 8 * 4)  # the input and the output
    assert (report.totals.macs, report.memory.inference_peak) == (40, peak)
    assert len(record(model, (2, 256, 8)).fused) == 1


def test_receptive_fields_behind_it_are_unknown_and_do_not_fail():
    with cnncost.custom_rules({Many: lambda _, x: (x, ())}):
        report = cnncost.analyze(nn.Sequential(nn.Conv2d(3, 4, 3), Many(), nn.Conv2d(4, 4, 3)), (1, 3, 9, 9))
    assert report.with_receptive_fields().layer("2").receptive_field == (str(cnncost.UNKNOWN),) * 2


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (lambda x: None, "expected cnncost.custom"),
        (lambda x: 12, "expected cnncost.custom"),
        (lambda x: (x, 12), "cost: expected terms"),
        (lambda x: (x, [12]), "cost: expected terms"),
        (lambda x: (((-1, 2), "float32"), ()), "shape of whole numbers"),
        (lambda x: (((1.5, 2), "float32"), ()), "shape of whole numbers"),
        (lambda x: (((1, 2), "float33"), ()), "expected a dtype"),
        (lambda x: ("x", 3.0), "cost: expected terms"),
        (lambda x: (x, cnncost.macs("N", -5)), "0 or more, got -5"),
        (lambda x: cnncost.custom(x, saved=-1), "saved: expected a number of bytes"),
        (lambda x: cnncost.custom(x, read=1.5), "read: expected a number of bytes"),
        (lambda x: x.nothing, "failed with AttributeError"),
        (lambda x: (object(), ()), "expected .shape, dtype. for each tensor"),
    ],
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_rule_that_says_nonsense_is_named(said, words, trace):
    def odd(module, x):
        return said(x)

    with (
        cnncost.custom_rules({Opaque: odd}),
        pytest.raises(RuleError, match=rf"1 \(Opaque\): rule 'odd' of Opaque: .*{words}"),
    ):
        cnncost.analyze(net(Opaque), (5, 8), trace=trace)


def test_a_rule_is_held_against_the_run_on_values():
    with (
        cnncost.custom_rules({Opaque: lambda m, x: (((x.shape[0], 7), x.dtype), ())}),
        pytest.raises(RuleError, match=r"the rule says \[5, 7\] float32, but forward returned \[5, 32\] float32"),
    ):
        cnncost.analyze(net(Opaque), (5, 8), trace="real")


@pytest.mark.parametrize("register", [cnncost.module_rule, cnncost.function_rule])
@pytest.mark.parametrize("target", [int, "Opaque", None, nn.Linear(2, 2)])
def test_what_is_no_class_of_that_kind_is_refused(register, target):
    with pytest.raises(TypeError, match="expected a subclass of torch"):
        register(target)


def test_a_second_rule_wants_replace():
    with pytest.raises(ValueError, match="replace=True"):
        cnncost.module_rule(Opaque)(of_module)
