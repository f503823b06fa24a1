"""A skeleton that is kept from one recording to the next gives what a new one would.

The oracle is a recording that nothing was kept for.
"""

import gc
import weakref

import pytest
import torch
from torch import nn

from cnncost.frontends.torch import record, skeleton_cache


@pytest.fixture(autouse=True)
def nothing_kept():
    skeleton_cache.clear()
    yield
    skeleton_cache.clear()


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.widths = [4, 6]
        self.more = 1
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.body = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(6, 5)
        self.unused = nn.Linear(6, 5)
        self.register_buffer("times", torch.tensor(2))

    def forward(self, x):
        x = self.body(self.bn(self.conv(x)))
        for _ in range(int(self.times)):
            x = torch.relu(x)
        if self.more is True:
            x = torch.sigmoid(x)
        return self.head(x.mean((2, 3)))[:, : self.widths[0]]


X = (2, 3, 8, 8)
KINDS = pytest.mark.parametrize("device", ["cpu", "meta"])


def built(kind=Plain, device="cpu"):
    if device == "cpu":
        return kind()
    with torch.device("meta"):
        model = kind()
    model.times = torch.tensor(2)
    return model


def kept_for(model, train=None):
    return skeleton_cache._CACHE.get((id(model), train))


def fresh(model, train=None):
    """The recording without a cache, whose contents are left as they are."""
    held, met = skeleton_cache._CACHE.copy(), skeleton_cache._SEEN.copy()
    skeleton_cache.clear()
    graph = record(model, X, train=train)
    skeleton_cache._CACHE.update(held)
    skeleton_cache._SEEN.update(met)
    return graph


@KINDS
def test_a_skeleton_is_kept_and_used_again(device):
    model = built(device=device)
    first = record(model, X)
    assert kept_for(model) is None, "once is not enough"
    assert record(model, X) == first
    skeleton = kept_for(model)
    assert skeleton is not None
    for _ in range(3):
        assert record(model, X) == first
        assert kept_for(model) is skeleton
    other = (1, 3, 12, 8)
    assert record(model, other).values != first.values
    assert record(model, X) == first


def test_modes_are_kept_apart():
    model = built()
    graphs = {train: fresh(model, train) for train in (True, False, None)}
    assert len(set(map(id, graphs.values()))) == 3
    for _ in range(4):
        for train, graph in graphs.items():
            assert record(model, X, train=train) == graph
    assert len(skeleton_cache._CACHE) == 3


def _share(model):
    model.unused.weight = model.head.weight


def _same_storage(model):
    model.unused.weight.data = model.head.weight.data


def _reorder(model):
    model.body._modules["0"] = model.body._modules.pop("0")


def _rename(model):
    del model.unused.out_features
    model.unused.renamed = 5


def _add_hook(model):
    model.bn.register_forward_hook(lambda _, __, y: y * 2)


def _replace_dict(model):
    model.body[1].__dict__ = dict(model.body[1].__dict__, padding=(0, 0))


def _buffer(model):
    bias = model.head.bias
    del model.head.bias
    model.head.register_buffer("bias", bias)


CHANGES = {
    "a layer replaced": lambda m: setattr(m, "conv", nn.Conv2d(3, 4, 5)),
    "a layer of a Sequential replaced": lambda m: m.body.__setitem__(1, nn.Conv2d(4, 6, 5)),
    "a layer appended": lambda m: m.body.append(nn.Sigmoid()),
    "a layer deleted": lambda m: m.__delattr__("unused"),
    "layers in another order": _reorder,
    "an attribute": lambda m: setattr(m.conv, "stride", (2, 2)),
    "an attribute that is equal and not the same": lambda m: setattr(m, "more", True),
    "an attribute's name": _rename,
    "all attributes at once": _replace_dict,
    "a list that the model holds": lambda m: m.widths.__setitem__(0, 3),
    "a longer list": lambda m: m.widths.insert(0, 1),
    "a parameter": lambda m: setattr(m.head, "weight", nn.Parameter(torch.ones(7, 6))) or setattr(m.head, "bias", None),
    "a parameter's data": lambda m: setattr(m.conv.weight, "data", torch.zeros(4, 3, 2, 2)),
    "a parameter's dtype": lambda m: m.double() and None,
    "a parameter frozen": lambda m: m.conv.weight.requires_grad_(False),
    "a parameter shared": _share,
    "a storage shared": _same_storage,
    "a buffer's value": lambda m: m.times.fill_(5),
    "a buffer": lambda m: setattr(m, "times", torch.tensor(3)),
    "a new buffer": lambda m: m.register_buffer("added", torch.ones(3)),
    "a parameter that becomes a buffer": _buffer,
    "a hook": _add_hook,
    "a mode": lambda m: m.eval() and None,
    "a class": lambda m: setattr(m.body[2], "__class__", nn.Sigmoid),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_the_user_changes_is_seen(change):
    model = built().train()
    for _ in range(3):
        before = record(model, X)
    assert kept_for(model) is not None
    change(model)
    expected = fresh(model)
    assert record(model, X) == expected
    if change is not CHANGES["an attribute's name"]:
        assert expected != before, "the change is none"
    for _ in range(4):
        assert record(model, X) == expected


class Changes(Plain):
    """Forward changes the model that it runs on, and does something else the next time."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.scale = nn.Parameter(torch.ones(1))


class Counts(Changes):
    def forward(self, x):
        self.count += 1
        return super().forward(x) * self.scale if self.count == 1 else x


class Appends(Changes):
    def forward(self, x):
        self.widths.insert(0, self.widths[0] - 1)
        return super().forward(x)


class AddsALayer(Changes):
    def forward(self, x):
        self.body.append(nn.Conv2d(6, 6, 1, device=x.device))
        return super().forward(x)


class Caches(Changes):
    def forward(self, x):
        if hasattr(self, "cached"):
            return self.cached * self.scale
        self.cached = super().forward(x)
        return self.cached


class Deletes(Changes):
    def forward(self, x):
        if hasattr(self, "unused"):
            x = super().forward(x)
            x = x.sum() * self.unused.weight.sum()
            del self.unused
        return x


class Trades(Changes):
    """As many attributes as before, of other names."""

    def forward(self, x):
        if not hasattr(self, "count"):
            return x
        del self.count
        self.other = 0
        return super().forward(x)


class Freezes(Changes):
    def forward(self, x):
        frozen = not self.conv.weight.requires_grad
        self.conv.weight.requires_grad_(False)
        return x if frozen else super().forward(x)


class Reshapes(Changes):
    def forward(self, x):
        if self.conv.weight.shape[2] == 3:
            x = super().forward(x)
            self.conv.weight.data = self.conv.weight.data[:, :, :2, :2]
        return x


class AddsAHook(Changes):
    def forward(self, x):
        self.bn.register_forward_hook(lambda _, __, y: y * 2)
        return super().forward(x)


class AddsABuffer(Changes):
    def forward(self, x):
        found = hasattr(self, "made")
        self.register_buffer("made", x.mean(), persistent=False)
        return x if found else super().forward(x) * self.made


class Writes(Changes):
    """In place to a buffer whose value decides which ops run."""

    def forward(self, x):
        self.times.add_(1)
        return super().forward(x)


class BecomesAnother(Changes):
    def forward(self, x):
        self.body[2].__class__ = nn.Sigmoid
        return super().forward(x)


CHANGING = [
    Counts, Appends, AddsALayer, Caches, Deletes, Trades, Freezes, Reshapes, AddsAHook, AddsABuffer, Writes,
    BecomesAnother,
]  # fmt: skip


@KINDS
@pytest.mark.parametrize("kind", CHANGING)
def test_what_forward_changes_is_undone(kind, device):
    model = built(kind, device)
    expected = fresh(model)
    for _ in range(5):
        assert record(model, X) == expected


def test_hooks_of_a_forward_are_the_modules_own():
    """All modules share one empty hook table until one registers a hook."""
    graph = fresh(built(AddsAHook))
    assert [node.name for node in graph.nodes].count("aten.mul.Tensor") == 1


class Settings:
    depth = 1


class Odd(nn.Module):
    """Has state that its attributes do not show."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.settings = Settings()

    def forward(self, x):
        for _ in range(self.settings.depth):
            x = self.fc(x)
        return x


def test_a_model_that_holds_other_things_is_copied_each_time():
    model = Odd()
    for _ in range(4):
        record(model, (1, 3))
    assert kept_for(model) is None
    model.settings.depth = 3
    assert sum(node.name == "aten.linear" for node in record(model, (1, 3)).nodes) == 3


def test_a_failed_recording_keeps_nothing():
    model = built()
    for _ in range(3):
        graph = record(model, X)
    with pytest.raises(Exception, match="expected"):
        record(model, (2, 4, 8, 8))
    assert kept_for(model) is None
    assert record(model, X) == graph


def test_nothing_of_the_users_is_kept_alive():
    model = built()
    for _ in range(4):
        record(model, X)
    assert kept_for(model) is not None
    model.times = torch.tensor(2)
    replaced, weight = weakref.ref(model.body[1]), weakref.ref(model.body[1].weight)
    model.body[1] = nn.Identity()
    assert replaced() is None
    assert weight() is None
    assert kept_for(model) is None, "a part of it has died"
    alive = [
        weakref.ref(model),
        weakref.ref(model.conv),
        weakref.ref(model.conv.weight),
        weakref.ref(model.bn.running_mean),
    ]
    model.head = nn.Linear(4, 5)
    for _ in range(4):
        record(model, X)
    assert kept_for(model) is not None
    del model
    gc.collect()
    assert [ref() for ref in alive] == [None] * 4
    assert not skeleton_cache._CACHE
    assert not skeleton_cache._SEEN


def test_only_a_few_are_kept():
    models = [built() for _ in range(6)]
    for _ in range(3):
        for model in models:
            record(model, X)
    assert 0 < len(skeleton_cache._CACHE) <= 4


def test_how_often_a_layer_is_called_is_counted_each_time():
    class Repeats(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            for _ in range(len(x)):
                x = self.layer(x)
            return x

    model = Repeats()
    for times in (1, 1, 1, 3, 1):
        assert [scope.calls for scope in record(model, (times, 8)).scopes] == [1, times]


@KINDS
def test_a_counter_goes_on_for_all_who_look_at_it(device, capsys):
    """A view of it is out of date with each step, on the account of the last."""

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.tensor(4))

        def forward(self, x):
            seen = self.n[None]
            self.n.add_(1)
            self.n.add_(2)
            print(int(self.n))  # noqa: T201  # what forward sees it can only say
            return x * seen

    record(Counts(), (2,))  # the first recording of a process may be made twice: torch imports its compiler
    capsys.readouterr()
    model = Counts().to(device)
    if device == "meta":
        model.n = torch.tensor(4)
    for _ in range(3):
        graph = record(model, (2,))
        assert [(node.name, node.inputs, node.outputs) for node in graph.nodes] == [
            ("aten.unsqueeze", (0,), (2,)),
            ("aten.add_.Tensor", (0,), (3,)),
            ("aten.add_.Tensor", (3,), (4,)),
            ("aten.item", (4,), ()),
            ("after_write", (2, 4), (5,)),
            ("aten.mul.Tensor", (1, 5), (6,)),
        ]
    assert capsys.readouterr().out == "7\n" * 3
    assert int(model.n) == 4
