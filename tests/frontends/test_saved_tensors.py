"""Forwards that save tensors to files, load them, or copy them by pickle's protocol."""

import builtins
import bz2
import copy
import functools
import gzip
import io
import pickle

import pytest
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

import cnncost
from cnncost.errors import DataDependentError

X = torch.ones(2, 4)
WEIGHTS = 4 * (16 + 4)
INPUT = OUTPUT = 4 * 8


class Does(nn.Module):
    """A linear layer, and what `forward` does with its output and a path."""

    def __init__(self, forward, path):
        super().__init__()
        self.linear, self.does, self.path = nn.Linear(4, 4), forward, path

    def forward(self, x):
        return self.does(self, self.linear(x))


def saves(s, y):
    torch.save(y, s.path)
    return y


def saves_old_format(s, y):
    torch.save(y, s.path, _use_new_zipfile_serialization=False)
    return y


def saves_weights(s, y):
    torch.save(s.state_dict(), str(s.path))
    return y


def dumps(s, y):
    with s.path.open("wb") as file:
        pickle.dump(y, file)
    return y


def appends(s, y):
    with open(s.path, "ab") as file:  # noqa: PTH123  # what people write
        pickle.dump({"y": [y]}, file)
    return y


def compresses(s, y):
    with gzip.open(s.path, "wb") as file:
        pickle.dump(y, file)
    return y


def compresses_more(s, y):
    with bz2.open(s.path, "wb") as file:
        pickle.dump(y, file)
    return y


def saves_while_autograd_packs(s, y):
    with save_on_cpu():
        z = y.sin()
        torch.save(y, s.path)
    return z


SAVING = [
    saves, saves_old_format, saves_weights, dumps, appends, compresses, compresses_more, saves_while_autograd_packs,
]  # fmt: skip


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("forward", SAVING, ids=lambda f: f.__name__)
def test_a_file_of_values_is_not_replaced_by_one_without(forward, training, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"values")
    with pytest.raises(DataDependentError, match=rf"reads the values of a tensor \(.*{path}.*trace real"):
        cnncost.analyze(Does(forward, path), X, training=training)

    assert path.read_bytes() == b"values"


@pytest.mark.parametrize("forward", SAVING, ids=lambda f: f.__name__)
def test_what_a_run_on_values_saves_has_values(forward, tmp_path):
    report = cnncost.analyze(Does(forward, tmp_path / "file"), X, trace="auto")

    assert report.totals.macs == 2 * 4 * 4
    assert report.run_on == "the values given"
    if forward is saves:
        assert not torch.load(tmp_path / "file").is_meta


def test_a_cache_on_disk_that_a_forward_fills_stays_good(tmp_path):
    """A function that keeps its result in a file, as bases of equivariant networks are kept."""

    def basis(path):
        if path.exists():
            with path.open("rb") as file:
                return pickle.load(file)
        made = torch.linspace(0.0, 1.0, 4).outer(torch.ones(4)).cumsum(0)
        with path.open("wb") as file:
            pickle.dump(made, file)
        return made

    model = Does(lambda s, y: y @ basis(s.path), tmp_path / "basis")
    with pytest.raises(DataDependentError):
        cnncost.analyze(model, X)
    first = model(X)
    static = cnncost.analyze(model, X)

    assert torch.equal(model(X), first)
    assert static.totals.macs == cnncost.analyze(model, X, trace="real").totals.macs == 2 * (2 * 4 * 4)


def test_known_values_are_pickled():
    def forward(s, y):
        return y[:, : int(pickle.loads(pickle.dumps(torch.arange(3))).sum())]

    assert cnncost.analyze(Does(forward, None), X).module("").output_shape == (2, 3)


def test_a_file_that_changes_is_read_again(tmp_path):
    model = Does(loads_an_index, tmp_path / "columns")
    shapes = []
    for columns in (3, 2):
        torch.save(torch.tensor([columns]), model.path)
        shapes.append(cnncost.analyze(model, X).module("").output_shape)

    assert shapes == [(2, 3), (2, 2)]


def test_unknown_values_are_not_pickled_into_memory():
    with pytest.raises(DataDependentError, match="pickling or saving it"):
        cnncost.analyze(Does(lambda s, y: torch.save(y, io.BytesIO()) or y, None), X)


class _Packs:
    """Packs tensors into files of a folder, in each way in which a hook may be a function."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, tensor):
        path = self.folder / str(len(list(self.folder.iterdir())))
        torch.save(tensor, path)
        return path

    def method(self, tensor):
        return self(tensor)


@pytest.mark.parametrize(
    "hook",
    [
        lambda p: p,
        lambda p: p.method,
        lambda p: lambda tensor, p=p: p.method(tensor),
        lambda p: functools.partial(_Packs.method, p),
    ],
    ids=["object", "method", "function", "partial"],
)
def test_a_hook_of_any_kind_packs_into_files(hook, tmp_path):
    def forward(s, y):
        with saved_tensors_hooks(hook(_Packs(s.path)), torch.load):
            return y.sin()

    model = Does(forward, tmp_path)
    report = cnncost.analyze(model, X, training=True)

    assert (
        report.totals.training_macs
        == cnncost.analyze(Does(lambda s, y: y.sin(), None), X, training=True).totals.training_macs
    )


def test_the_programs_own_open_is_called(tmp_path, monkeypatch):
    """As with a file system in memory, which replaces the function."""
    original, opened = builtins.open, []
    monkeypatch.setattr(builtins, "open", lambda file, *args: opened.append(str(file)) or original(file, *args))
    (tmp_path / "file").write_bytes(b"12")

    def forward(s, y):
        with open(s.path, "rb") as file:  # noqa: PTH123  # what people write
            return y[:, : len(file.read())]

    report = cnncost.analyze(Does(forward, tmp_path / "file"), X)

    assert report.module("").output_shape == (2, 2)
    assert str(tmp_path / "file") in opened


def test_text_and_what_is_read_may_be_opened(tmp_path):
    (tmp_path / "log").write_bytes(b"\1\2")

    def forward(s, y):
        with s.path.open("rb") as file:
            size = len(file.read())
        with s.path.with_name("text").open("a") as file:
            file.write(f"{tuple(y.shape)}\n")
        return y[:, :size]

    report = cnncost.analyze(Does(forward, tmp_path / "log"), X)

    assert report.module("").output_shape == (2, 2)
    assert (tmp_path / "text").read_text() == "(2, 4)\n"


def loads(s, y):
    return y + torch.load(s.path)


def loads_plainly(s, y):
    with s.path.with_suffix(".pkl").open("rb") as file:
        return y + pickle.load(file)


def loads_weights(s, y):
    s.linear.load_state_dict(torch.load(s.path.with_suffix(".sd")))
    return y + s.linear(y)


def loads_an_index(s, y):
    return y[:, : int(torch.load(s.path).sum())]


@pytest.mark.parametrize("forward", [loads, loads_plainly, loads_weights, loads_an_index], ids=lambda f: f.__name__)
def test_tensors_that_forward_loads_are_constants(forward, tmp_path):
    path = tmp_path / "values.pt"
    torch.save(torch.tensor([0.0, 1, 1, 1]), path)
    path.with_suffix(".pkl").write_bytes(pickle.dumps(torch.ones(4)))
    model = Does(forward, path)
    torch.save(model.linear.state_dict(), path.with_suffix(".sd"))
    static, real = (cnncost.analyze(model, X, trace=trace) for trace in ("static", "real"))

    assert static.run_on == ""
    assert static.totals.macs == real.totals.macs
    assert static.totals.flops == real.totals.flops
    assert static.module("").output_shapes == real.module("").output_shapes == (tuple(model(X).shape),)


def test_a_shallow_copy_shares_memory():
    def forward(s, y):
        z = copy.copy(y)
        z.add_(1)
        return y * z

    model = Does(forward, None).eval()
    reports = [cnncost.analyze(model, X, trace=trace) for trace in ("static", "real")]

    assert [r.memory.inference_peak for r in reports] == [WEIGHTS + INPUT + 2 * OUTPUT] * 2
    assert [r.module("").output_shape for r in reports] == [(2, 4)] * 2
