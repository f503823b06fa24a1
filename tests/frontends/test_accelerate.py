"""Models as accelerate prepares them: hooks in sequence, offloaded weights, a forward that converts its results.

The classes stand for accelerate's, by their names and their code.
"""

import functools
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

import cnncost

X = (5, 8)


class AlignDevicesHook:
    """Loads its module's weights before forward, and leaves parameters without data after it."""

    offload = True

    def __init__(self, weights_map, prefix, tied_params_names=()):
        self.weights_map, self.prefix, self.tied_params_names = weights_map, prefix, set(tied_params_names)

    def pre_forward(self, module, *args, **kwargs):
        for name in module._parameters:
            module._parameters[name] = nn.Parameter(self.weights_map[self.prefix + name].to("cpu"))
        return args, kwargs

    def post_forward(self, module, output):
        for name, parameter in module._parameters.items():
            module._parameters[name] = nn.Parameter(parameter.to("meta"))
        return output


class FirstRows:
    """A hook of a user's, which computes something."""

    def pre_forward(self, module, x):
        return (x[:3],), {}

    def post_forward(self, module, output):
        return torch.cat([output, output], dim=1)


class SequentialHook:
    def __init__(self, *hooks):
        self.hooks = hooks

    def pre_forward(self, module, *args, **kwargs):
        for hook in self.hooks:
            args, kwargs = hook.pre_forward(module, *args, **kwargs)
        return args, kwargs

    def post_forward(self, module, output):
        for hook in self.hooks:
            output = hook.post_forward(module, output)
        return output


class Moving:
    """As `AlignDevicesHook` without offloading: moves a module's input to its device, and back."""

    offload = False

    def __init__(self, execution_device, io_same_device=False):
        self.execution_device, self.io_same_device = execution_device, io_same_device

    def pre_forward(self, module, x):
        self.input_device = x.device
        return (x.to(self.execution_device, non_blocking=True),), {}

    def post_forward(self, module, output):
        return output.to(self.input_device) if self.io_same_device else output


Moving.__name__ = "AlignDevicesHook"
for kind in (AlignDevicesHook, SequentialHook, Moving):
    kind.__module__ = "accelerate.hooks"


def hooked(module, hook):
    """As `add_hook_to_module` does."""

    def new_forward(module, *args, **kwargs):
        args, kwargs = module._hf_hook.pre_forward(module, *args, **kwargs)
        return module._hf_hook.post_forward(module, module._old_forward(*args, **kwargs))

    module._hf_hook, module._old_forward = hook, module.forward
    module.forward = functools.update_wrapper(functools.partial(new_forward, module), module.forward)
    return module


def offloaded(model, tied_params_names=(), in_memory=True):
    values = {name: parameter.detach() for name, parameter in model.named_parameters(remove_duplicate=False)}
    values = values if in_memory else {name: value.clone() for name, value in values.items()}
    for name, module in list(model.named_modules()):
        if module._parameters:
            hook = AlignDevicesHook(values, f"{name}.", tied_params_names)
            hook.post_forward(hooked(module, hook), None)
    return model


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_a_hook_that_computes_runs_beside_one_that_moves_weights(order, training):
    """3 of 5 rows through 8 → 4, whose results stand twice in a row of 8."""
    model = offloaded(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)))
    model[1]._hf_hook = SequentialHook(*[model[1]._hf_hook, FirstRows()][::order])
    assert model(torch.ones(X)).shape == (3, 8)
    for _ in range(2):
        report = cnncost.analyze(model, X, training=training)
        assert report.layer("1").macs == 3 * 8 * 4
        assert report.totals.training_macs == (2 * 5 * 8 * 8 + 3 * 3 * 8 * 4 if training else None)
    assert all(parameter.is_meta for parameter in model.parameters())


def tied():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    return model


def by_names(model):
    return offloaded(model, ("weight",), in_memory=False)


def of_transformers(model):
    offloaded(model, in_memory=False)
    model.all_tied_weights_keys = {"1.weight": "0.weight"}
    return model


def still_tied(model):
    """As Transformers leaves them until forward has run for the first time."""
    model = of_transformers(model)
    model[1]._parameters["weight"] = model[0].weight
    return model


NOTE = "tied weights that are offloaded are counted once per module: "


@pytest.mark.parametrize(
    ("prepare", "note"),
    [
        pytest.param(lambda model: model, "", id="not offloaded"),
        pytest.param(offloaded, "0.weight, 1.weight", id="values in memory"),
        pytest.param(by_names, "0.weight, 1.weight, 2.weight", id="named by the hooks"),
        pytest.param(of_transformers, "0.weight, 1.weight", id="named by the model"),
        pytest.param(still_tied, "", id="still one parameter"),
        pytest.param(lambda model: offloaded(model, in_memory=False), "", id="unknown"),
    ],
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_tied_weights_that_are_offloaded_are_told_of(monkeypatch, prepare, note, trace):
    monkeypatch.setitem(sys.modules, "accelerate", ModuleType("accelerate"))
    report = cnncost.analyze(prepare(tied()), torch.ones(X) if trace == "real" else X, trace=trace)
    assert [each for each in report.notes if "tied" in each] == ([NOTE + note] if note else [])
    assert report.totals.macs == 3 * 5 * 8 * 8


class Converting:
    """As `ConvertOutputsToFp32`: wraps a bound forward, and refuses to be pickled, by which it would be copied."""

    def __init__(self, forward):
        self.forward = forward
        functools.update_wrapper(self, forward)

    def __call__(self, *args):
        return self.forward(*args).float()

    def __getstate__(self):
        raise TypeError("can't be pickled")


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.scale = nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.norm(self.linear(x)) * self.scale


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("in_closure", [False, True])
def test_a_forward_in_an_object_that_refuses_to_be_copied(in_closure, training):
    model, plain = Scaled(), Scaled()
    converting = Converting(model.forward)

    def within(*args):
        return converting(*args)

    model.forward = within if in_closure else converting
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found, expected = (cnncost.analyze(each, X, training=training) for each in (model, plain))
    assert [(row.path, row.macs) for row in found.layers] == [(row.path, row.macs) for row in expected.layers]
    assert found.totals.training_macs == expected.totals.training_macs
    assert found.memory.figures == expected.memory.figures
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


class Slotted:
    __slots__ = ("scale",)


class Statistics(Slotted):
    """Has attributes of both kinds, and refuses to be copied."""

    def __init__(self):
        self.scale, self.table = 3, torch.zeros(8)

    def __reduce_ex__(self, protocol):
        raise TypeError("can't be pickled")


class WithStatistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.statistics = Statistics()

    def forward(self, x):
        self.statistics.scale += 1
        self.statistics.table += self.statistics.scale
        return x * self.statistics.table


def test_all_attributes_of_an_object_that_refuses_to_be_copied_are_at_hand():
    model = WithStatistics()
    assert cnncost.analyze(model, X).totals.flops == 8 + 5 * 8  # a sum of 8 and a product of 5 × 8
    assert (model.statistics.scale, model.statistics.table.tolist()) == (3, [0.0] * 8), "the user's own"


class OverTwo(nn.Module):
    """8 → 16 on one device, 16 → 4 on another; by hand with moves in its own code."""

    def __init__(self, by_hand):
        super().__init__()
        self.first, self.second, self.by_hand = nn.Linear(8, 16), nn.Linear(16, 4), by_hand

    def forward(self, x):
        x = self.first(x).relu()
        return self.second(x.to("cuda:1")).to("cuda:0") if self.by_hand else self.second(x)


def over_two(by_hand, devices=("cuda:0", "cuda:1"), kind=OverTwo):
    model = kind(by_hand)
    for module, device in zip((model.first, model.second), devices, strict=True):
        module.to(torch.device(device))
        if not by_hand:
            hooked(module, Moving(device))
    return model if by_hand else hooked(model, Moving(devices[0], io_same_device=True))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("devices", [("cuda:0", "cuda:1"), (0, 1)], ids=["by name", "by number"])
def test_a_model_that_hooks_spread_over_devices(devices, training):
    """5 rows of 16 floats go from one to the other, 5 of 4 come back; in backward the other way."""
    with cnncost.placement():
        found, expected = over_two(False, devices), over_two(True)
    found, expected = (cnncost.analyze(model, X, training=training) for model in (found, expected))
    assert found.devices == expected.devices
    assert found.links == expected.links
    assert [(d.device, d.params, d.macs, d.received) for d in found.devices] == [
        ("cuda:0", 8 * 16 + 16, 5 * 8 * 16, 5 * 4 * 4), ("cuda:1", 16 * 4 + 4, 5 * 16 * 4, 5 * 16 * 4),
    ]  # fmt: skip
    assert len(found.links) == 2 + 4 * training


ONE = "hooks spread the model over cuda:0, cuda:1; memory is given as if all of it were on one device"


def test_devices_that_can_not_be_told_apart_are_told_of():
    """A forward that needs a GPU's properties, and hooks that load weights."""

    class NeedsGPU(OverTwo):
        def forward(self, x):
            first, apart = self.first(x), self.training or not only_in_training
            if apart and self.second(first).device != first.device:
                raise AssertionError("Torch not compiled with CUDA enabled")
            return super().forward(x)

    for only_in_training in (False, True):
        with cnncost.placement():
            model, loading = over_two(False, kind=NeedsGPU), over_two(False)
        loading.second._hf_hook.offload = True
        for each in (model, loading):
            report = cnncost.analyze(each, X, training=only_in_training)
            assert (report.devices, report.links, ONE in report.notes) == ((), (), True)


def test_a_model_that_hooks_keep_on_one_device():
    with cnncost.placement():
        model = over_two(False, ("cuda:0", "cuda:0"))
    report = cnncost.analyze(model, X)
    assert (report.devices, report.totals.macs) == ((), 5 * 8 * 16 + 5 * 16 * 4)
