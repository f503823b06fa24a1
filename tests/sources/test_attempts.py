"""Ways out: a run on values where a static analysis fails, weights where a model can't be built without."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import CnncostError, DataDependentError, ForwardError, InputError
from cnncost.report.model import Report

torch.set_num_threads(1)

X = (2, 8)
ONCE = 2 * 8 * 8


class _Model(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def _by_pointer(s: Any, x: torch.Tensor) -> torch.Tensor:
    if not int(x.untyped_storage().data_ptr()):
        raise TypeError("no memory")
    return s.linear(x)


def _by_value(s: Any, x: torch.Tensor) -> torch.Tensor:
    if x.sum().item() < 0:
        raise ValueError("negative")
    return s.linear(x)


def _by_numpy(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.linear(torch.from_numpy(x.numpy() * 2))


def _by_nonzero(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.linear(x[(x > 2).nonzero()[:, 0]]) if len((x > 2).nonzero()) else s.linear(x)


def _by_quantized(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.linear(x.to_mkldnn().to_dense())


WORKS_ON_VALUES = [_by_pointer, _by_value, _by_numpy, _by_nonzero, _by_quantized]


@pytest.mark.parametrize("function", WORKS_ON_VALUES)
def test_auto_runs_on_values_whatever_failed_and_says_why(function: Any) -> None:
    model = _Model(function)
    with pytest.raises(ForwardError) as refused:
        cnncost.analyze(model, X)
    for _ in range(2):
        report = cnncost.analyze(model, X, trace="auto")
        assert report.totals.macs == ONCE
        assert report.run_on
        (note,) = report.notes
        assert note.startswith("a static analysis failed, so forward was run on values: the model (_Model) at test_")
        said = str(refused.value).removeprefix("_Model: ").split("; ")[0].partition(", and a static")[0]
        assert said.partition(" (can't convert")[0][:150] in note  # torch's own words are left out
        assert "--trace" not in note
        for text in (report.to_markdown(), report.to_html()):
            assert "a static analysis failed" in text
        assert Report.from_json(report.to_json()).notes == report.notes
    assert "--trace real" in str(refused.value)


def test_what_runs_without_values_has_no_note() -> None:
    report = cnncost.analyze(_Model(lambda s, x: s.linear(x)), X, trace="auto")
    assert (report.notes, report.run_on) == ((), "")


FAILS_TWICE = [
    pytest.param(lambda s, x: s.linear(x[:, :4]), ForwardError, "expected 8 features", "in the same way", id="sizes"),
    pytest.param(
        lambda s, x: s.linear(x.nonzero() * 1.0), ForwardError, "expected 8 features on the last axis; it got",
        "a static analysis fails as well: the model .* reads the values", id="after values were read"),
    pytest.param(lambda s, x: s.missing(x), ForwardError, "AttributeError", "in the same way", id="no such attribute"),
    pytest.param(
        lambda s, x: _by_pointer(s, x)[:, :4] @ s.linear.weight, ForwardError, "address of a tensor without data",
        "a run on values fails as well: the model .* RuntimeError: (mm: )?mat1 and mat2", id="for another reason"),
    pytest.param(
        lambda s, x: [][x.sum().item() > 0], ForwardError, "IndexError",
        "a static analysis fails as well: the model .* reads the values", id="the model's own error"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "kind", "first", "second"), FAILS_TWICE)
def test_where_both_fail_the_better_error_names_both(function: Any, kind: type, first: str, second: str) -> None:
    with pytest.raises(kind, match=first) as refused:
        cnncost.analyze(_Model(function), X, trace="auto")
    message = str(refused.value)
    assert message.startswith("_Model: ")
    assert "--trace" not in message  # it was tried
    assert "\n" not in message
    with pytest.raises(kind, match=second):
        cnncost.analyze(_Model(function), X, trace="auto")


def test_without_weights_a_run_on_values_is_no_way_out() -> None:
    with torch.device("meta"):
        model = _Model(_by_value)
    with pytest.raises(DataDependentError, match="a run on values fails as well: a run on values needs weights"):
        cnncost.analyze(model, X, trace="auto")


@pytest.mark.parametrize(
    "function", [lambda s, x: s.linear(x[:, :4]), lambda s, x: s.missing(x), lambda s, x: {}["x"], lambda s, x: 1 / 0]
)
def test_no_advice_that_can_not_help(function: Any) -> None:
    with pytest.raises((ForwardError, InputError)) as refused:
        cnncost.analyze(_Model(function), X)
    if "ZeroDivisionError" in str(refused.value):
        assert "if forward works on tensors with values" in str(refused.value)
    else:
        assert "--trace" not in str(refused.value)


# ---- models by name whose constructors want weights

BUILT: dict[str, str] = {
    # what a constructor does; `w` is the weight of the layer that it is then given to
    "item": "self.a = w.mean().item()",
    "item of a sum": "self.a = float(w.abs().sum())",
    "int of a count": "self.a = int((w > 0).sum())",
    "bool": "self.a = bool((w == w).all())",
    "if": "self.a = 1 if w[0, 0] > 100 else 2",
    "assert": "assert torch.isfinite(w).all()",
    "nonzero": "self.a = w.nonzero()",
    "where": "self.a = torch.where(w > 0)[0]",
    "mask": "self.register_buffer('a', w[w > 0].detach())",
    "masked_select": "self.register_buffer('a', torch.masked_select(w, w > 0).detach())",
    "unique": "self.a = torch.unique(w.detach())",
    "to_sparse": "self.a = w.detach().to_sparse()",
    "to_sparse_csr": "self.a = w.detach().to_sparse_csr()",
    "numpy": "self.a = w.detach().numpy()",
    "numpy of a buffer": "self.register_buffer('b', torch.eye(4)); self.a = self.b.numpy().sum()",
    "tolist": "self.a = w.tolist()",
    "equal": "assert torch.equal(w, w.clone())",
    "allclose": "assert torch.allclose(w, w)",
    "eigen": "self.a = [float(v) for v in torch.linalg.eigvalsh(w.detach() @ w.detach().t())]",
    "svd": "u, s, v = torch.linalg.svd(w.detach()); self.rank = int((s > 1e-5).sum())",
    "matrix_rank": "self.a = int(torch.linalg.matrix_rank(w.detach()))",
    "orthogonal": "nn.init.orthogonal_(w)",
    "orthogonal parametrization": "nn.utils.parametrizations.orthogonal(self.layer)",
    "weight norm": "nn.utils.parametrizations.weight_norm(self.layer)",
    "spectral norm": "nn.utils.parametrizations.spectral_norm(self.layer)",
    "old weight norm": "torch.nn.utils.weight_norm(self.layer)",
    "old spectral norm": "torch.nn.utils.spectral_norm(self.layer)",
    "pruned": "import torch.nn.utils.prune as prune; prune.l1_unstructured(self.layer, 'weight', 0.5)",
    "pruned at random": "import torch.nn.utils.prune as prune; prune.random_unstructured(self.layer, 'weight', 3)",
    "linspace": "self.rates = [r.item() for r in torch.linspace(0, 0.1, 3)]",
    "arange": "self.a = torch.arange(4).tolist()",
    "tensor": "self.a = torch.tensor([1.0, 2.0]).sum().item()",
    "literal numpy": "import numpy as np; self.register_buffer('a', torch.from_numpy(np.eye(4)))",
    "sampled index": "self.a = torch.randperm(4).tolist()",
    "random choice": "self.a = torch.randint(0, 4, (1,)).item()",
    "multinomial": "self.a = torch.multinomial(torch.ones(4), 2).tolist()",
    "normal": "self.a = torch.normal(0.0, 1.0, (1,)).item()",
    "kmeans": "c = torch.rand(3, 4); self.a = torch.cdist(c, c).argmin(1).tolist()",
    "copy of numpy": "w.data.copy_(torch.from_numpy(w.detach().numpy() * 2))",
    "state dict": "self.layer.load_state_dict(nn.Linear(4, 6).state_dict())",
    "deepcopy": "import copy; self.twin = copy.deepcopy(self.layer); self.twin = None",
    "positions": "p = torch.arange(8)[:, None] / 10000; self.register_buffer('a', torch.sin(p), persistent=False)",
    "window": "self.a = torch.hann_window(8).sum().item()",
    "relative index": "i = torch.arange(4); self.register_buffer('a', (i[:, None] - i[None]).flatten())",
    "trial run": "self.width = self.layer(torch.zeros(1, 4)).shape[1]",
    "trial run, read": "self.level = self.layer(torch.ones(1, 4)).abs().max().item()",
    "probed": "y = self.layer(torch.eye(4)); self.a = (y > 0).any().item()",
    "eval of a table": "self.a = dict(enumerate(torch.ones(3).cumsum(0).tolist()))",
    "nested tensor": "self.a = len(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]).unbind())",
    "generator": "g = torch.Generator().manual_seed(1); self.a = torch.rand(2, generator=g).tolist()",
}


def _source(line: str) -> str:
    return (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.layer = nn.Linear(4, 6)\n        w = self.layer.weight\n"
        f"        {line}\n\n    def forward(self, x):\n        return self.layer(x)\n"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("idiom", BUILT)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_a_model_is_built_with_weights_where_it_can_not_be_without(tmp_path: Any, idiom: str, trace: Any) -> None:
    (tmp_path / "net.py").write_text(_source(BUILT[idiom]))
    exec(compile(_source(BUILT[idiom]), "net", "exec"), scope := {})  # noqa: S102  # it is ours
    real = scope["Net"]()
    spec = f"{tmp_path}/net.py:Net"
    for _ in range(2):
        report = cnncost.analyze(spec, (3, 4), trace=trace)
        counted = sum(p.numel() for p in real.parameters())
        assert report.totals.params == counted
        assert report.layers[-1].macs + sum(row.macs for row in report.layers[:-1]) == report.totals.macs
        assert report.totals.macs >= 3 * 4 * 6
        for note in report.notes:
            assert note.startswith("built with weights, as it could not be without: ")
    rebuilt = cnncost.analyze(real.eval(), (3, 4))
    assert rebuilt.totals.macs == report.totals.macs


NOTED = [
    "orthogonal parametrization",
    "item",
    "nonzero",
    "to_sparse",
    "numpy",
    "equal",
    "if",
    "tolist",
    "trial run, read",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("idiom", NOTED)
def test_that_it_was_built_with_weights_is_said(tmp_path: Any, capsys: Any, idiom: str) -> None:
    (tmp_path / "net.py").write_text(_source(BUILT[idiom]))
    report = cnncost.analyze(f"{tmp_path}/net.py:Net", (3, 4))
    assert any("built with weights" in note for note in report.notes)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["summarize", f"{tmp_path}/net.py:Net", "--input", "3x4"])
    assert "built with weights" in " ".join(capsys.readouterr().out.split())


def test_a_constructor_that_fails_in_any_case_fails_with_its_own_error(tmp_path: Any) -> None:
    (tmp_path / "net.py").write_text(_source("w.mean().item(); raise KeyError('no such thing')"))
    with pytest.raises(CnncostError, match="KeyError: 'no such thing'"):
        cnncost.analyze(f"{tmp_path}/net.py:Net", (3, 4))
