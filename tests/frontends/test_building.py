"""What constructors see while a model is built without weights, and that torch is restored afterwards."""

import gc
import random
import threading
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # as everywhere
from torch.nn import init
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._python_dispatch import TorchDispatchMode

from cnncost.frontends.torch.building import building
from tests.versions.facts import set_default_device

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

X, Y = partial(torch.empty, 2, 3), partial(torch.empty, 3)


def looks(tensor):
    """A tensor's metadata except its device and its values."""
    return (
        type(tensor), tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad, tensor.is_leaf,
        tensor.storage_offset(), tensor.untyped_storage().nbytes(), tensor.grad_fn and type(tensor.grad_fn),
    )  # fmt: skip


def in_double(make):
    torch.set_default_dtype(torch.float64)
    try:
        return make()
    finally:
        torch.set_default_dtype(torch.float32)


def no_grad(make):
    with torch.no_grad():
        return make()


def element_set(value, device=None):
    table = torch.zeros(3, 4, device=device)
    table[1, -1] = value
    return table


def product(out):
    result = torch.mul(X(), Y(), out=out)
    assert result is out
    return result


# Each is made after the ones before it, with what is remembered of them
MADE = [
    pytest.param(lambda: torch.zeros(2, 3), id="zeros"),
    pytest.param(lambda: torch.zeros((2, 3), dtype=torch.int64), id="zeros of integers"),
    pytest.param(lambda: torch.ones(2, requires_grad=True), id="ones that get a gradient"),
    pytest.param(lambda: torch.full((2,), 1), id="full of an integer"),
    pytest.param(lambda: torch.full((2,), 1.0), id="full of a float"),
    pytest.param(lambda: torch.full((2,), True), id="full of a truth"),
    pytest.param(lambda: in_double(lambda: torch.zeros(2, 3)), id="zeros in another default dtype"),
    pytest.param(lambda: X() * Y(), id="a product"),
    pytest.param(lambda: in_double(lambda: X(dtype=torch.int64) / Y(dtype=torch.int64)), id="a quotient in double"),
    pytest.param(lambda: X(dtype=torch.int64) / Y(dtype=torch.int64), id="the same quotient in single"),
    pytest.param(lambda: X(dtype=torch.int64) * 2, id="times an integer"),
    pytest.param(lambda: X(dtype=torch.int64) * 2.0, id="times a float"),
    pytest.param(lambda: X(dtype=torch.bool) * True, id="times a truth"),
    pytest.param(lambda: (torch.empty(3, 2) + 1, X().t() + 1)[1], id="a sum with the strides of its input"),
    pytest.param(lambda: X().expand(4, 2, 3) + 1, id="a sum of what was expanded"),
    pytest.param(lambda: no_grad(lambda: nn.Parameter(X()) * 2), id="a product that gets no gradient"),
    pytest.param(lambda: nn.Parameter(X()) * 2, id="the same product, which gets one"),
    pytest.param(lambda: X().sum(), id="a sum of all"),
    pytest.param(lambda: X().sum(1), id="a sum of rows"),
    pytest.param(lambda: X().sum(dim=1, keepdim=True), id="a sum of rows that keeps the axis"),
    pytest.param(lambda: X().sum(dim=1, dtype=torch.float64), id="a sum of rows in double"),
    pytest.param(lambda: product(out=torch.empty(2, 3)), id="a product into a tensor at hand"),
    pytest.param(lambda: torch.stack([X(), X()], 1), id="a stack"),
    pytest.param(lambda: torch.stack([X(), X(), X()], 1), id="a larger stack"),
    pytest.param(lambda: torch.cat([X(), X()]), id="a concatenation"),
    pytest.param(lambda: X() == 1, id="a comparison"),
    pytest.param(lambda: torch.vmap(lambda row: row * row)(X()), id="a product, mapped"),
    pytest.param(lambda: torch.vmap(lambda row: row * row)(torch.empty(5, 3)), id="a product of more, mapped"),
    pytest.param(lambda: no_grad(lambda: F.gelu(nn.Linear(3, 4)(X()))), id="a layer and its activation"),
    pytest.param(lambda: no_grad(lambda: nn.Conv2d(3, 4, 3)(torch.empty(1, 3, 8, 8))), id="a convolution"),
    pytest.param(lambda: element_set(1.0), id="an element set"),
    pytest.param(lambda: element_set(nn.Parameter(torch.empty(()))), id="an element set to what has a gradient"),
    pytest.param(lambda: init.zeros_(nn.Parameter(X())), id="a parameter set to zero"),
    pytest.param(lambda: init.kaiming_normal_(tensor=nn.Parameter(X()), a=0.1), id="a parameter drawn by name"),
    pytest.param(lambda: init.trunc_normal_(nn.Parameter(X()), std=0.1), id="a parameter drawn within bounds"),
]


@pytest.mark.parametrize("make", MADE)
def test_what_is_made_looks_as_it_would_with_values(make):
    expected = looks(make())
    with building():
        for _ in range(3):
            tensor = make()
            assert tensor.is_meta
            assert looks(tensor) == expected


def fails(error, function):
    with pytest.raises(error):
        function()


def set_beyond_the_end():
    torch.zeros(3, 4)[1, 4] = 1.0


def set_in_a_leaf():
    nn.Parameter(torch.zeros(3, 4))[0, 0] = 1.0


VALUES = [
    # what is made or read in a constructor, and what it has to be
    pytest.param(lambda: [rate.item() for rate in torch.linspace(0, 1, 3)], [0.0, 0.5, 1.0], id="rates"),
    pytest.param(lambda: torch.arange(3).tolist(), [0, 1, 2], id="positions"),
    pytest.param(lambda: int(torch.tensor([4])), 4, id="a literal"),
    pytest.param(lambda: torch.as_tensor([1.5]).item(), 1.5, id="a list"),
    pytest.param(lambda: torch.logspace(0, 1, 2).tolist(), [1.0, 10.0], id="frequencies"),
    pytest.param(lambda: torch.zeros(2, device="cpu").tolist(), [0.0, 0.0], id="zeros on a device that is named"),
    pytest.param(lambda: torch.ones(2, out=torch.empty(2, device="cpu"), device="cpu").tolist(), [1.0, 1.0], id="out"),
    pytest.param(lambda: init.ones_(torch.empty(2, device="cpu")).tolist(), [1.0, 1.0], id="values to fill"),
    pytest.param(lambda: init.constant_(torch.empty(2, device="cpu"), 3.0).tolist(), [3.0, 3.0], id="other values"),
    pytest.param(lambda: torch.empty(2, device="cpu").fill_(2).tolist(), [2.0, 2.0], id="values to fill in place"),
    pytest.param(lambda: torch.tensor([1, 2]).mul_(2).tolist(), [2, 4], id="a literal computed with"),
    pytest.param(lambda: torch.arange(3).mul(2).add(1).tolist(), [1, 3, 5], id="positions computed with"),
    pytest.param(lambda: element_set(7.0, "cpu").sum().item(), 7.0, id="an element of a table with values"),
    pytest.param(lambda: (torch.arange(2) * torch.zeros(2)).is_meta, True, id="values met what has none"),
    pytest.param(lambda: str(torch.randn(2).device), "meta", id="where what is drawn is made"),
    pytest.param(lambda: str(torch.empty(2, device=None).device), "meta", id="no device, in so many words"),
    pytest.param(lambda: torch.arange(3, device="meta").is_meta, True, id="positions on a device that is named"),
    pytest.param(lambda: torch.arange(3, device="meta").dtype, torch.int64, id="integer positions without data"),
    pytest.param(lambda: torch.arange(3.0, device="meta").dtype, torch.float32, id="the same as floats"),
    pytest.param(torch.is_grad_enabled, True, id="autograd"),
    pytest.param(lambda: no_grad(torch.is_grad_enabled), False, id="autograd, switched off"),
    pytest.param(lambda: fails(IndexError, set_beyond_the_end), None, id="an element that is not there"),
    pytest.param(lambda: fails(RuntimeError, set_in_a_leaf), None, id="an element of what gets a gradient"),
    pytest.param(
        lambda: torch.linspace(start=2, end=3, steps=4, device="meta").shape, (4,), id="steps that are named last"
    ),
    pytest.param(
        lambda: torch.linspace(start=2, steps=3, end=4, device="meta").shape, (3,), id="steps that are named before"
    ),
    pytest.param(lambda: fails(ValueError, lambda: init.kaiming_normal_(torch.empty(3))), None, id="no fan"),
    pytest.param(lambda: fails(RuntimeError, lambda: torch.zeros(2) + torch.zeros(3)), None, id="shapes that differ"),
    pytest.param(lambda: fails(RuntimeError, lambda: torch.zeros(2).item()), None, id="values that there are not"),
]


@pytest.mark.parametrize(("read", "expected"), VALUES)
def test_what_constructors_read(read, expected):
    with building():
        assert read() == expected
        assert read() == expected  # by what is remembered


def test_values_on_a_device_entered_inside():
    with building():
        with torch.device("cpu"):
            assert init.ones_(torch.empty(2)).tolist() == [1.0, 1.0]
        assert torch.empty(2).is_meta


class Idle(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def enters_and_stays():
    Idle().__enter__()


def sets_and_resets():
    torch.set_default_device("cpu")
    torch.set_default_device(None)


def raises():
    raise ValueError


def exits():
    raise SystemExit


DISTURBS = [
    pytest.param(lambda: nn.BatchNorm2d(3), id="an ordinary constructor"),
    pytest.param(lambda: torch.rand(3, device="cpu") + random.gauss(), id="it draws"),
    pytest.param(enters_and_stays, id="it enters a mode and stays there"),
    pytest.param(lambda: torch.set_default_device("cpu"), id="it sets the default device"),
    pytest.param(sets_and_resets, id="it sets the default device back"),
    pytest.param(raises, id="it raises"),
    pytest.param(exits, id="it exits"),
]


def state():
    helpers = {name: id(value) for name, value in vars(init).items() if callable(value)}
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return (
        torch.get_rng_state().tolist(), random.getstate(), _get_current_function_mode_stack(), context, helpers,
        torch.get_default_device(), torch.is_grad_enabled(), gc.isenabled(), torch.utils._device.CURRENT_DEVICE,
    )  # fmt: skip


def built(constructor):
    try:
        with building():
            constructor()
    except (ValueError, SystemExit, AssertionError):
        pass


@pytest.mark.parametrize("default", [None, "cpu", "meta"])
@pytest.mark.parametrize("constructor", DISTURBS)
def test_torch_is_as_it_was(constructor, default):
    set_default_device(default)
    try:
        with Idle():
            before = state()
            built(constructor)
            assert state() == before
    finally:
        set_default_device(None)
    assert _get_current_function_mode_stack() == []  # nothing was kept to be given back now


def test_building_while_building():
    before = state()
    with building():
        with building():
            assert torch.zeros(2).is_meta
        assert init.zeros_(torch.zeros(2)).is_meta
    assert state() == before


def test_several_threads_leave_torch_as_it_was():
    before, devices = state(), []

    def build():
        for _ in range(20):
            with building():
                nn.Conv2d(3, 4, 3)
                devices.append(torch.empty(1).device.type)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert devices == ["meta"] * 80
    assert state() == before


def test_another_thread_sees_torch_as_ever():
    found = []

    def elsewhere():
        found.extend(init.ones_(torch.empty(2)).tolist())
        tensor = torch.empty(2, device="meta")
        version = tensor._version
        init.zeros_(tensor)
        found.append(tensor._version - version)

    with building():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert found == [1.0, 1.0, 1]


class OnTheCpu(Idle):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **({**(kwargs or {}), "device": "cpu"} if func is torch.empty else kwargs or {}))


def test_a_mode_that_was_entered_before_comes_after():
    with OnTheCpu():
        assert not torch.empty(2).is_meta
        with building():
            assert [isinstance(mode, OnTheCpu) for mode in _get_current_function_mode_stack()] == [True, False]


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(str(func))
        return func(*args, **(kwargs or {}))


FILLS = [
    init.uniform_, init.normal_, init.trunc_normal_, partial(init.constant_, val=1.0), init.ones_, init.zeros_,
    init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_,
    torch.Tensor.zero_, torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_,
]  # fmt: skip


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: getattr(fill, "__name__", "constant_"))
def test_nothing_is_run_to_fill_what_has_no_data(fill):
    with building():
        weight = torch.empty(2, 3)
        with Counting() as counting:
            assert fill(weight) is weight
    assert counting.ops == []


def test_garbage_waits():
    with building():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_initial_values_come_from_the_same_seed():
    with building():
        drawn = torch.rand(3, device="cpu")
    with building():
        assert torch.equal(torch.rand(3, device="cpu"), drawn)
