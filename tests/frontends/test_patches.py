"""Attributes of torch, Python and libraries that are patched during an analysis, and that all are restored."""

import importlib
import sys
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from types import ModuleType

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import ForwardError
from cnncost.frontends.torch import custom, record, recording
from cnncost.frontends.torch.building import building
from cnncost.frontends.torch.patches import Patch, in_force, patched, suspended

# ---- sets of patches


class Base:
    inherited = "of the base"


class Owner(Base):
    own = "own"


@pytest.fixture
def untouched():
    """Nothing of the owner's is different after the test."""
    before = dict(vars(Owner))
    yield
    assert dict(vars(Owner)) == before
    assert in_force() == ()


def patch(name, value="new", owner=Owner):
    return Patch(owner, name, value, "a test")


@pytest.mark.usefixtures("untouched")
def test_a_set_is_entered_and_left_as_one():
    with patched([patch("own"), patch("inherited")]):
        assert (Owner.own, Owner.inherited, Base.inherited) == ("new", "new", "of the base")
        assert [each.name for each in in_force()] == ["own", "inherited"]
    assert (Owner.own, Owner.inherited) == ("own", "of the base")
    assert "inherited" not in vars(Owner)


@pytest.mark.usefixtures("untouched")
def test_an_inner_set_puts_back_what_the_outer_one_has_put():
    with patched([patch("own", 1), patch("inherited", 1)]):
        with patched([patch("own", 2)]), patched([patch("own", 3), patch("inherited", 3)]):
            assert (Owner.own, Owner.inherited) == (3, 3)
        assert (Owner.own, Owner.inherited) == (1, 1)


@pytest.mark.usefixtures("untouched")
def test_of_two_for_one_place_the_last_is_seen():
    with patched([patch("own", 1), patch("own", 2)]):
        assert Owner.own == 2


@pytest.mark.usefixtures("untouched")
def test_an_error_inside_puts_all_back():
    with pytest.raises(KeyboardInterrupt), patched([patch("own")]), patched([patch("inherited")]):
        raise KeyboardInterrupt


@pytest.mark.usefixtures("untouched")
def test_where_one_cannot_be_replaced_none_is():
    entered = False
    with pytest.raises(TypeError), patched([patch("own"), patch("real", owner=int), patch("inherited")]):
        entered = True
    assert not entered


@pytest.mark.usefixtures("untouched")
def test_given_back_undoes_all_sets_for_a_while():
    with patched([patch("own", 1)]), patched([patch("own", 2), patch("inherited", 2)]):
        with suspended():
            assert (Owner.own, Owner.inherited) == ("own", "of the base")
            with patched([patch("own", 4)]):  # what is imported may itself replace something
                assert Owner.own == 4
            assert Owner.own == "own"
        assert (Owner.own, Owner.inherited) == (2, 2)
    with pytest.raises(ImportError), patched([patch("own", 1)]), suspended():
        raise ImportError


@pytest.mark.usefixtures("untouched")
def test_another_thread_waits():
    """Otherwise it would restore the value that the first one has set."""
    seen, inside, done = [], threading.Event(), threading.Event()

    def other():
        inside.wait()
        with patched([patch("own", "the other's")]):
            seen.append(Owner.own)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with patched([patch("own", "the first's")]):
        inside.set()
        assert not done.wait(0.05)
        assert Owner.own == "the first's"
    thread.join()
    assert seen == ["the other's"]


# ---- those of an analysis


ABSENT = object()


class Net(nn.Module):
    """A layer, an LSTM, and `more`, which is done to its result."""

    def __init__(self, more=lambda x: x):
        super().__init__()
        self.fc, self.lstm, self.more = nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True), more

    def forward(self, x):
        return self.more(self.lstm(self.fc(x))[0])


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Tripled(nn.Module):
    def forward(self, x):
        return x * 3


X, OTHER = (1, 3, 4), (2, 3, 4)
RULES = {Doubled: lambda x: (x, ()), Tripled: lambda module, x: (x, ())}


class Sets:
    """In a queue, which no analysis restores: it restores lists that forward reaches, as one that analyzes does."""

    def __init__(self):
        self.queue = SimpleQueue()

    def __len__(self):
        return self.queue.qsize()

    def __iter__(self):
        for _ in range(len(self)):
            each = self.queue.get()
            self.queue.put(each)
            yield each


@pytest.fixture
def sets(monkeypatch):
    """Collects each set of patches that a recording enters, and all that are in force at that moment.

    Without the replacements, which hold the recording's tensors.
    """
    found = Sets()

    @contextmanager
    def seen(patches):
        patches = tuple(patches)
        with patched(patches):
            found.queue.put(tuple([each._replace(replacement=None) for each in many] for many in (patches, in_force())))
            yield

    monkeypatch.setattr(recording, "patched", seen)
    monkeypatch.setattr(custom, "patched", seen)
    return found


def places(sets):
    return [each.place for patches, _ in sets for each in patches]


def state_of(all_places):
    return {
        (id(owner), name): owner.__code__ if name == "__code__" else vars(owner).get(name, ABSENT)
        for owner, name in all_places
    }


def named(patch):
    owner = patch.owner
    kind = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
    return f"{kind}.{patch.name}"


def raises(x):
    raise LookupError("forward's own")


def differentiates(x):
    return torch.autograd.grad(x.sum(), x)[0] if x.requires_grad else x


def under_autocast(x):
    with torch.autocast("cpu", torch.bfloat16):
        return x @ x.mT


def analyze_what_raises(**how):
    with pytest.raises(ForwardError, match="forward's own"):
        cnncost.analyze(Net(raises), X, **how)


def analyze_often():
    net = Net()
    for inputs in (X, X, OTHER):  # for another X it would not run
        cnncost.analyze(net, inputs)


def analyzes(x):
    return x * cnncost.analyze(Net(), X).totals.macs


def fails_within(x):
    analyze_what_raises()
    return x


def builds(x):
    with building():
        return x * Net().fc.in_features


def by_rules(x):
    return Tripled()(Doubled.apply(x))


WAYS = {
    "inference": (lambda: cnncost.analyze(Net(), X), 1),
    "a kept copy of the model": (analyze_often, 3),
    "a training step": (lambda: cnncost.analyze(Net(), X, training=True, optimizer="adam"), 2),
    "autocast": (lambda: cnncost.analyze(Net(), X, autocast="bf16"), 1),
    "values": (lambda: cnncost.analyze(Net(), X, training=True, trace="real"), 2),
    "another device": (lambda: record(Net(), X, device="cuda"), 1),
    "forward raises": (analyze_what_raises, 1),
    "on values, too": (lambda: analyze_what_raises(trace="real"), 1),
    "forward wants autograd": (lambda: cnncost.analyze(Net(differentiates), X), 2),
    "forward turns autocast on": (lambda: cnncost.analyze(Net(under_autocast), X), 2),
    "an analysis within": (lambda: cnncost.analyze(Net(analyzes), X), 2),
    "an analysis within that fails": (lambda: cnncost.analyze(Net(fails_within), X), 2),
    "rules": (lambda: cnncost.analyze(Net(by_rules), X, training=True), 2),
    "rules on values": (lambda: cnncost.analyze(Net(by_rules), X, trace="real"), 2),
}
"""Analyses, and how many sets each enters at least."""


@pytest.mark.parametrize("way", WAYS)
def test_all_comes_back(sets, way):
    """Each attribute holds the same object before and after, or is absent before and after."""
    analyses, fewest = WAYS[way]
    with cnncost.custom_rules(RULES):
        analyses()
        met = places(sets)
        before = state_of(met)
        analyses()

        assert len(sets) >= 2 * fewest
        assert state_of(met + places(sets)).keys() == before.keys()
        assert [key for key, value in state_of(met).items() if value is not before[key]] == []
        assert in_force() == ()


@pytest.mark.parametrize("way", WAYS)
def test_each_set_is_whole(sets, way):
    """Each attribute is patched once, and each patch has a reason."""
    with cnncost.custom_rules(RULES):
        WAYS[way][0]()

    for patches, _ in sets:
        assert len({(id(owner), name) for owner, name, *_ in patches}) == len(patches)
        assert all(each.why for each in patches)


def test_two_threads_leave_nothing(sets):
    cnncost.analyze(Net(), X)
    before, failures = state_of(places(sets)), []

    def analyzes_often():
        try:
            for _ in range(5):
                cnncost.analyze(Net(), X)
                cnncost.analyze(Net(), X, training=True)
        except Exception as error:  # noqa: BLE001  # shown by the test
            failures.append(error)

    threads = [threading.Thread(target=analyzes_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [key for key, value in state_of(places(sets)).items() if key in before and value is not before[key]] == []
    assert all(patches == now for patches, now in sets)  # never two sets at once
    assert in_force() == ()


def test_an_import_in_forward_finds_the_originals(sets, tmp_path, monkeypatch):
    """Also those of static C types."""
    cnncost.analyze(Net(), X)
    (tmp_path / "imported_in_forward.py").write_text(
        "from cnncost.frontends.torch.patches import in_force\n"
        "found = [(id(p.owner), p.name, p.owner.__code__ if p.name == '__code__' else vars(p.owner).get(p.name))\n"
        "         for p in in_force()]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = state_of(places(sets))

    def imports(x):
        import imported_in_forward  # noqa: F401

        return x

    cnncost.analyze(Net(imports), X)
    found = sys.modules.pop("imported_in_forward").found

    assert len(found) > 30
    assert [n for owner, n, value in found if value is not before[owner, n] and before[owner, n] is not ABSENT] == []
    assert [n for owner, n, value in found if value is not None and before[owner, n] is ABSENT] == []


WAYS_TO_IMPORT = {
    "fromlist by name": lambda: __import__("somewhere.part", fromlist=["WIDTH"]),
    "globals and level by name": lambda: sys.modules[
        __import__("somewhere.part", globals=globals(), level=0).part.__name__
    ],
    "all by position": lambda: __import__("somewhere.part", globals(), locals(), ["WIDTH"], 0),
    "import_module": lambda: importlib.import_module("somewhere.part"),
    "a package by position": lambda: importlib.import_module(".part", "somewhere"),
    "a package by name": lambda: importlib.import_module(".part", package="somewhere"),
}


@pytest.mark.parametrize("load", WAYS_TO_IMPORT.values(), ids=WAYS_TO_IMPORT)
def test_forward_may_import_in_any_way(tmp_path, monkeypatch, load):
    (tmp_path / "somewhere").mkdir()
    (tmp_path / "somewhere" / "__init__.py").touch()
    (tmp_path / "somewhere" / "part.py").write_text("WIDTH = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("somewhere", "somewhere.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    class Imports(nn.Module):
        def forward(self, x):
            return x.new_zeros(load().WIDTH) + 1

    report = cnncost.analyze(Imports(), X)
    for name in ("somewhere", "somewhere.part"):
        del sys.modules[name]
    assert report.totals.flops == 5


def test_building_replaces_functions_of_init():
    before = dict(vars(nn.init))
    with building():
        replaced = {each.name for each in in_force()}
        assert {each.owner for each in in_force()} == {nn.init}
        assert {name for name, value in before.items() if vars(nn.init)[name] is not value} == replaced != set()
    assert {name for name, value in before.items() if vars(nn.init)[name] is not value} == set()

    cnncost.analyze(Net(builds), X)  # building within a recording
    assert {name for name, value in before.items() if vars(nn.init)[name] is not value} == set()
    assert in_force() == ()


REPLACED = """
os.urandom random._urandom random.Random.seed
builtins.__import__ importlib.import_module torch.tensortype.__instancecheck__
builtins.open io.open bz2._builtin_open tarfile.bltn_open
torch.serialization._open_zipfile_writer torch._utils._rebuild_tensor torch.Tensor.__reduce_ex__
torch.nn.modules.module.Module._call_impl.__code__ torch.fx.experimental.proxy_tensor.ProxyTorchDispatchMode.__enter__
torch._C._create_function_from_trace torch._C._create_function_from_trace_with_dict torch._C._create_graph_by_tracing
torch.jit._trace.make_module torch.to_dlpack torch.utils.dlpack.to_dlpack torch.Tensor.__dlpack__
torch.storage.UntypedStorage._share_fd_cpu_ torch.storage.UntypedStorage._share_filename_cpu_
torch.storage.UntypedStorage.byteswap torch.storage.UntypedStorage.__reduce__
torch.tensor torch.as_tensor torch.tensor_split torch.ctc_loss torch._shape_as_tensor
torch.is_grad_enabled torch._C._set_grad_enabled torch._C._is_any_autocast_enabled
torch.is_autocast_enabled torch.get_autocast_dtype torch.amp.autocast_mode._cast
torch.set_autocast_enabled torch.set_autocast_dtype torch.set_autocast_cpu_enabled
torch.clear_autocast_cache
torch._ops.HigherOrderOperator.__call__
torch.amp.autocast_mode.autocast.__init__ torch.amp.autocast_mode.autocast.__enter__
torch.amp.autocast_mode.autocast.__exit__
torch.Tensor.device torch.Tensor.get_device torch.Tensor.data_ptr torch.Tensor.__dlpack_device__ torch.Tensor.to
torch.Tensor.cpu torch.Tensor.type torch.Tensor.is_meta torch.Tensor.is_cpu torch.Tensor.is_cuda torch.Tensor.is_mps
torch.Tensor.is_xpu torch.Tensor._make_subclass torch.Tensor.data torch.Tensor.numpy torch.Tensor.tolist
torch.Tensor.__format__ torch.Tensor.new torch.Tensor.new_tensor
torch.Tensor.tensor_split torch.Tensor.requires_grad torch.Tensor.grad_fn torch.Tensor.is_leaf torch.Tensor.backward
torch.Tensor.register_hook torch.Tensor.retain_grad
torch.storage.UntypedStorage.device torch.storage.UntypedStorage.data_ptr torch.storage.UntypedStorage.resize_
torch.autograd.grad torch.autograd.backward torch.autograd.forward_ad.enter_dual_level
torch._VF._pad_packed_sequence
torch.autograd.graph.register_multi_grad_hook torch.autograd.graph.saved_tensors_hooks.__enter__
"""
"""What an analysis of inference replaces in every program, beside what depends on which parts of torch are imported."""

DEPENDS = (
    ".__new__", "torch._functorch.", "torch.autograd.functional.", "torch.nn.attention.flex_attention.",
    "torch.distributed.tensor.",
)  # fmt: skip
"""Constructors of the subclasses of a tensor that there are, `torch.func`, flexible attention, DTensor."""


def test_what_is_replaced(sets):
    cnncost.analyze(Net(), X)
    ((patches, _),) = [found for found in sets if len(found[0]) > 20]

    names = {name for each in patches if not any(part in (name := named(each)) for part in DEPENDS)}
    assert names == set(REPLACED.split())
