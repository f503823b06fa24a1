"""The model stays as it was, peers may fail, and what differs between modes is told."""

import builtins
import copy
import inspect
import logging
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.errors import DataDependentError, InputError, SourceError
from cnncost.verify import verify
from cnncost.verify.torch_rules import INTEGERS


class Net(nn.Module):
    """Writes to itself when it is run, and holds a tensor that is no buffer and no leaf."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.linear = nn.Linear(4, 3)
        self.scale = torch.ones(3, requires_grad=True) * 2
        self.calls = 0
        self.log = ["made"]

    def forward(self, x):
        self.calls += 1
        self.log.append(x.shape)
        return self.linear(self.norm(x)) * self.scale


class Named(nn.Module):
    """Takes and returns nests."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, a, b=None, twice=False):
        y = self.linear(a) + self.linear(b["parts"][0])
        return {"y": self.linear(y) if twice else y, "rest": [a]}


def test_the_model_and_torchs_state_are_left_as_they_were():
    model = Net()
    state, module_vars = copy.deepcopy(model.state_dict()), dict(vars(model))
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002  # the global state is what is looked at
    rng, pyrng, nprng = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    verify(model, "2x4")
    assert torch.equal(torch.get_rng_state(), rng)
    assert random.getstate() == pyrng
    assert (np.random.get_state()[1] == nprng).all()  # noqa: NPY002
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert vars(model) == module_vars
    assert (model.calls, model.log, model.training) == (0, ["made"], True)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled()
    assert torch._C._get_tracing_state() is None


def test_nothing_is_printed_or_logged(caplog, capsys):
    handlers, level = list(logging.getLogger().handlers), logging.getLogger("fvcore").level
    with caplog.at_level(logging.DEBUG):
        verify(nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Identity()), "1x3")
    assert [record for record in caplog.records if "fvcore" in record.name] == []
    assert capsys.readouterr() == ("", "")
    assert (list(logging.getLogger().handlers), logging.getLogger("fvcore").level) == (handlers, level)


QUIETLY = """
from torch import nn
from cnncost.verify import verify
print([(peer.failure, peer.total) for peer in verify(nn.Linear(3, 5), "2x3").peers])
"""


@pytest.mark.long
def test_nothing_is_warned_of_where_fvcore_is_imported_for_the_first_time():
    """From 2.14 on torch says of each function that fvcore scripts, and of its tracer, that they are to be gone.

    A build with CUDA says at the import of its counter that Triton is missing, if it is.
    """
    run = subprocess.run([sys.executable, "-W", "error", "-c", QUIETLY], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == (f"[('', {2 * 3 * 5}), ('', {2 * 2 * 3 * 5})]\n", "")


def test_a_failed_trace_leaves_no_tracer_behind():
    verify(nn.Sequential(nn.Linear(3, 3), Failing()), "1x3")
    assert torch._C._get_tracing_state() is None


class Failing(nn.Module):
    def forward(self, x):
        if torch.jit.is_tracing():
            raise ValueError("only outside of a trace\nand a second line")
        return x


def test_a_peer_that_fails_is_a_row_and_the_other_goes_on():
    found = verify(nn.Sequential(nn.Linear(3, 4), Failing()), "2x3")
    fvcore, torchs = found.peers
    assert (fvcore.total, fvcore.failure) == (None, "ValueError in forward: only outside of a trace")
    assert torchs.total == 2 * 2 * 3 * 4
    assert found.explained


def test_when_no_peer_can_count_nothing_is_explained():
    found = verify(torch.jit.script(nn.Linear(3, 4)), "2x3")
    assert [peer.total for peer in found.peers] == [None, None]
    assert found.macs == 24
    assert not found.explained


def test_keyword_arguments_and_nests_are_counted_by_both():
    inputs = {"a": (2, 3), "b": {"parts": [(2, 3)]}, "twice": True}
    found = verify(Named(), inputs)
    assert found.macs == 3 * 2 * 9
    assert [peer.total for peer in found.peers] == [54, 108]
    assert found.explained


def test_values_of_integer_inputs_reach_the_peers():
    class Picks(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x, times):
            for _ in range(int(times)):
                x = self.linear(x)
            return x

    found = verify(Picks(), (torch.zeros(2, 3), torch.tensor(4)))
    assert [found.macs, *(peer.total for peer in found.peers)] == [72, 72, 144]


def test_values_of_buffers_reach_the_peers():
    class Repeats(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.register_buffer("times", torch.tensor(4))

        def forward(self, x):
            for _ in range(self.times.item()):
                x = self.linear(x)
            return x

    found = verify(Repeats(), "2x3")
    assert [found.macs, *(peer.total for peer in found.peers)] == [72, 72, 144]


def test_a_model_that_reads_its_input_is_an_error():
    class Reads(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(DataDependentError, match="Reads"):
        verify(Reads(), "2x3")


def test_a_model_that_cannot_be_copied_is_an_error_that_names_the_reason():
    model = nn.Linear(3, 3)
    model.lock = threading.Lock()
    with pytest.raises(InputError, match=r"can't be copied.*_thread\.lock"):
        verify(model, "2x3")


def test_tied_weights_stay_tied_and_shared_tensors_shared():
    from cnncost.verify.copies import copied, on_cpu

    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    model[1].weight = model[0].weight
    model[0].table = [torch.ones(2, requires_grad=True) * 3]
    model[1].bias.requires_grad_(requires_grad=False)
    twin = copied(model, on_cpu)
    assert twin[1].weight is twin[0].weight is not model[0].weight
    assert torch.equal(twin[0].weight, model[0].weight)
    assert torch.equal(twin[0].table[0], torch.full((2,), 3.0))
    assert not twin[1].bias.requires_grad
    assert twin[0].bias.requires_grad
    assert (twin.training, model.training) == (False, True)


def test_a_specification_is_built_without_weights_and_fvcore_gets_zeros():
    found = verify("fc10")
    assert [found.macs, *(peer.total for peer in found.peers)] == [7840, 7840, 15680]
    assert found.model == "fc10"
    assert found.inputs == (((1, 1, 28, 28), "float32"),)


def test_an_unknown_name_is_an_error():
    with pytest.raises(SourceError, match="resnet18"):
        verify("resnet19")


def test_fvcore_can_be_left_out():
    assert [peer.peer for peer in verify("fc10", with_fvcore=False).peers] == ["torch"]


def test_without_fvcore_its_row_says_how_to_install_it_and_torch_goes_on(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("fvcore"):
            raise ImportError("No module named 'fvcore'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    found = verify("fc10")
    assert "pip install fvcore" in found.peers[0].failure
    assert found.peers[0].total is None
    assert found.peers[1].total == 15680


def test_too_little_memory_is_told_before_it_is_taken():
    with torch.device("meta"):
        model = nn.Linear(1 << 22, 1 << 22, bias=False)
    found = verify(model, (1, 1 << 22))
    assert found.peers[0].failure.startswith("needs about 64.0 TiB for real weights and a real forward, but only ")
    assert "--no-fvcore" in found.peers[0].failure
    assert found.peers[1].total == 2 * (1 << 44)


def test_the_fused_path_in_which_no_peer_sees_anything_is_off():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    x = torch.zeros(2, 5, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer(x)
    assert counter.get_total_flops() == 0
    found = verify(layer, (x,))
    assert found.macs == 10 * 16 * 48 + 10 * 16 * 16 + 2 * 2 * 25 * 16 + 2 * 10 * 16 * 32
    assert found.peers[1].total == 2 * found.macs
    assert found.explained
    assert "the peers count nothing in it" in found.notes[0]


def test_what_training_costs_more_is_told():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = self.side = nn.Linear(3, 3)

        def forward(self, x):
            return (self.main(x), self.side(x)) if self.training else self.main(x)

    found = verify(Auxiliary(), "2x3")
    assert found.macs == 18
    assert found.notes[0].startswith("as given, in train mode, the model has 36 MACs")


def test_ops_without_a_rule_are_handed_on():
    class Unknown(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x)

    found = verify(Unknown(), "3x3")
    assert found.unknown == {"aten.linalg_matrix_exp": 1}


LOOKING = {
    "takes one layer on a CPU": ("self.l(x) if x.device.type == 'cpu' else self.l(self.l(x))", 2 * 8 * 8),
    "takes a layer on meta alone": ("self.l(x) if x.is_meta else x * 2", 0),
    "asks a weight": ("self.l(x) if self.l.weight.is_cpu else self.l(self.l(self.l(x)))", 2 * 8 * 8),
}


@pytest.mark.parametrize("by", ["module", "name"])
@pytest.mark.parametrize("name", LOOKING)
def test_a_peer_that_saw_meta_is_no_witness_of_a_model_that_looks_at_devices(tmp_path, name, by):
    code, expected = LOOKING[name]
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.l = nn.Linear(8, 8)\n    def forward(self, x):\n        return {code}\n"
    )
    space: dict = {}
    exec(path.read_text(), space)  # noqa: S102  # the same class, as a module
    model = f"{path}:Net" if by == "name" else space["Net"]()
    found = verify(model, "2x8")
    fvcore, counter = found.peers
    assert (found.macs, fvcore.total, counter.total) == (expected, expected, 2 * expected)
    assert found.explained
    assert "real forward on the CPU" in counter.run
    assert cnncost.analyze(model, "2x8").totals.macs == expected


def test_a_model_that_looks_at_nothing_is_counted_without_data():
    assert "without data" in verify(nn.Linear(8, 8), "2x8").peers[1].run


class Keeps(nn.Module):
    """Keeps the examples that a layer likes: how many follows from weights and values alone."""

    def __init__(self):
        super().__init__()
        self.score, self.head = nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(x[self.score(x)[:, 0] > 0])


@pytest.mark.parametrize("trace", ["real", "auto"])
@pytest.mark.parametrize("autocast", [None, "bf16"])
def test_with_a_run_on_values_the_peers_run_on_the_same_ones(trace, autocast):
    model = Keeps()
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor([[1.0, -1, 1, -1, 1, -1]]))
        model.score.bias.zero_()
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(7))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast is not None):
        kept = int((model.score(inputs)[:, 0] > 0).sum())
    assert 0 < kept < 64
    found = verify(model, inputs, trace=trace, autocast=autocast)
    assert found.macs == 64 * 6 + kept * 6 * 3
    assert [peer.total for peer in found.peers] == [found.macs, 2 * found.macs]
    assert found.explained
    assert "forward was run on values" in found.notes[0]
    assert all("real forward" in peer.run for peer in found.peers)


def test_drawn_values_and_drawn_weights_are_the_same_for_all(tmp_path, monkeypatch):
    source = "import torch\nfrom torch import nn\n\n\n" + inspect.getsource(Keeps)
    (tmp_path / "keeps.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    for _ in range(3):  # weights differ each time
        found = verify("keeps.py:Keeps", "40x6", trace="auto")
        assert [peer.total for peer in found.peers] == [found.macs, 2 * found.macs]
        assert found.explained


def test_static_is_what_python_asks_for_by_default():
    with pytest.raises(DataDependentError):
        verify(Keeps(), "4x6")


def test_an_autocast_is_said_and_changes_no_peer():
    found = verify(nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), "2x4", autocast="cuda:bf16")
    assert [peer.total for peer in found.peers] == [24, 48]
    assert found.notes == ("the peers run without autocast cuda:bfloat16: casts have neither MACs nor FLOPs",)
    assert found.model.endswith("under autocast cuda:bfloat16")


def test_too_little_memory_for_values_is_a_failure_of_both(monkeypatch):
    monkeypatch.setattr("cnncost.verify.memory.available", lambda: 10)
    found = verify(Keeps(), "8x6", trace="real")
    assert [peer.total for peer in found.peers] == [None, None]
    assert all("are free" in peer.failure for peer in found.peers)


class Integers(nn.Module):
    """A product of integers: 2·4·3 MACs, which are no FLOPs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.ones(3, 4, dtype=torch.int64))

    def forward(self, x):
        return nn.functional.linear(x, self.weight)


def test_products_of_integers_are_flops_to_torch_alone():
    found = verify(Integers(), torch.ones(2, 3 + 1, dtype=torch.int64))
    peer = next(peer for peer in found.peers if peer.peer == "torch")
    assert (peer.total, peer.unexplained) == (2 * 24, ())
    assert [(row.ours, row.theirs, row.why) for row in peer.explanations] == [(0, 48, INTEGERS)]
