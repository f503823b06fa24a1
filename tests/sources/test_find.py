"""What the user named becomes one source: its kind, what is known of it, and what it can't be given."""

import pytest
from torch import nn

import cnncost
from cnncost.errors import InputError, SourceError
from cnncost.sources.find import find
from cnncost.sources.resolve import resolve

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(8, width)

    def forward(self, x):
        return self.layer(x)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    cnncost.analyze(nn.Linear(8, 4), (2, 8)).save(tmp_path / "saved.json")
    (tmp_path / "SAVED.JSON").write_bytes((tmp_path / "saved.json").read_bytes())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("model", "kind", "text", "method"),
    [
        pytest.param("lenet5", "zoo", "lenet5", "", id="zoo"),
        pytest.param("net.py:Net", "python", "net.py:Net", "", id="file"),
        pytest.param("net.py:Net#layer", "python", "net.py:Net#layer", "layer", id="method"),
        pytest.param("torch.nn:ReLU", "python", "torch.nn:ReLU", "", id="module"),
        pytest.param("saved.json", "saved", "saved.json", "", id="saved"),
        pytest.param("SAVED.JSON", "saved", "SAVED.JSON", "", id="an ending in capitals"),
        pytest.param(nn.ReLU(), "object", "ReLU", "", id="object"),
    ],
)
def test_each_text_is_of_one_kind(model, kind, text, method):
    source = find(model)
    assert (source.kind, source.text, source.method) == (kind, text, method)
    assert (source.saved, source.built) == (kind == "saved", kind == "object")


def test_a_source_stays_one():
    source = find("net.py:Net", {"width": 3})
    assert find(source) is source
    assert find(source, {"width": 5}).arguments == {"width": 5}
    # weights and biases of a linear layer of 8 features
    assert [cnncost.analyze(s, "1x8").totals.params for s in (source, find(source, {"width": 5}))] == [27, 45]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(lambda: find("saved.json", {"width": 3}), InputError, "takes no arguments", id="saved"),
        pytest.param(lambda: find(nn.ReLU(), {"width": 3}), InputError, "a built model", id="object"),
        pytest.param(lambda: find("saved.json").build(), SourceError, "give the model itself", id="no model to build"),
        pytest.param(lambda: resolve("saved.json"), SourceError, "give the model itself", id="no model to run"),
        pytest.param(
            lambda: find("net.py:Net#layer").without_method("a test"), SourceError, "give the model alone, net.py:Net,",
            id="no forward of its own",
        ),
        pytest.param(lambda: resolve(nn.ReLU(), (1, 2)).to(None), InputError, "a built model", id="dtype"),
    ],
)  # fmt: skip
def test_what_a_source_can_not_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_model_resolved_once_runs_on_other_batches():
    resolved = resolve("net.py:Net", "1x8")
    assert [cnncost.analyze(resolve(resolved, batch=n)).totals.macs for n in (1, 5)] == [32, 5 * 32]
    assert resolve(resolved, batch=5).model is resolved.model
