"""What a message says to do works on the case that raised it: each row fails as told, and then does as it was told."""

import operator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import CnncostError

torch.set_num_threads(1)

# torch's own, of lazy modules and sparse tensors
pytestmark = pytest.mark.filterwarnings("ignore")


class Do(nn.Module):
    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


def analyzed(model, inputs, **how):
    return lambda: cnncost.analyze(model, inputs, **how)


def counts(self, x, n):
    return x[: int(n.max())] * 2


def drops_first(self, x):
    return self.fc(x[x[:, 0] > 0.5])


def endless(self, x):
    return self.forward(x)


def with_hook(removed):
    layer = nn.Linear(3, 2)
    handle = layer.weight.register_post_accumulate_grad_hook(lambda _: None)
    if removed:
        handle.remove()
    return layer


def lazy(run=False):
    layer = nn.LazyLinear(4)
    if run:
        layer(torch.zeros(2, 3))
    return layer


def cyclic(in_list):
    child, parent = nn.Linear(2, 2), Do(lambda self, x: self.child(x))
    parent.child = child
    if in_list:
        child.back = [parent]
    else:
        child.back = parent
    return parent


def nested(layout):
    return torch.nested.nested_tensor([torch.zeros(2, 4), torch.zeros(3, 4)], layout=layout)


NET = "from torch import nn\n\ndef Net(width=5):\n    return nn.Linear(8, width)\n"


def written(code):
    Path("net.py").write_text(code)
    return "net.py:Net"


def packed():
    return nn.utils.rnn.pack_padded_sequence(torch.zeros(3, 2, 4), torch.tensor([3, 2]))


NORM = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
READS = Do(counts)
PICKS = Do(drops_first, fc=nn.Linear(4, 2))
LINEAR = nn.Linear(8, 4)
GRAPH = cnncost.record(LINEAR, (2, 8))

PICTURE = np.ones((9, 9, 3), dtype=np.float32)
OF_ARRAYS = {
    "an array read by from_numpy": Do(
        lambda self, x: self.conv(torch.from_numpy(x).permute(2, 0, 1)), conv=nn.Conv2d(3, 4, 3)
    ),
    "an array of another type": Do(
        lambda self, x: self.conv(torch.tensor(x.astype("float32").T)), conv=nn.Conv2d(3, 4, 3)
    ),
    "an array added to in place": Do(
        lambda self, x: self.conv(torch.tensor(operator.imul(np.ones_like(PICTURE), x > 0).T)), conv=nn.Conv2d(3, 4, 3)
    ),
    "an array for a legacy constructor": Do(
        lambda self, x: self.conv(torch.FloatTensor(x).permute(2, 0, 1)), conv=nn.Conv2d(3, 4, 3)
    ),
    "an array transposed": Do(lambda self, x: self.conv(torch.tensor(x.transpose(2, 0, 1))), conv=nn.Conv2d(3, 4, 3)),
}

SAMPLER = Do(lambda self, size: self.conv(torch.randn(size)), conv=nn.Conv2d(3, 3, 3))

CASES = [
    pytest.param(
        analyzed(SAMPLER, (2, 3, 8, 8)), "give numbers as cnncost.literal((2, 3, 8, 8))",
        [analyzed(SAMPLER, cnncost.literal((2, 3, 8, 8)))], id="sizes read as a tensor's shape",
    ),
    *[
        pytest.param(
            analyzed(model, PICTURE), "a function that holds the array, as in analyze(lambda x: model(x, array), x)",
            [analyzed(lambda x, model=model: model(PICTURE) + x, (4, 7, 7))], id=name,
        )
        for name, model in OF_ARRAYS.items()
    ],
    # what fails, words of the message that say what to do, what does so
    pytest.param(
        analyzed(NORM.train(), (1, 3, 3, 3)), "call model.eval(), or give a batch of 2 or more",
        [lambda: cnncost.analyze(NORM.train(), (2, 3, 3, 3)), lambda: cnncost.analyze(NORM.eval(), (1, 3, 3, 3))],
        id="one value per channel",
    ),
    pytest.param(
        analyzed(READS, ((5, 2), "3:int64")),
        "give the tensor that is read as an integer tensor with its values in `inputs`",
        [
            analyzed(READS, ((5, 2), torch.tensor([1, 4, 2]))),
            analyzed(Do(lambda self, x: counts(self, x, self.n), n=torch.tensor([1, 4])), (5, 2)),
            analyzed(READS, ((5, 2), "3:int64"), trace="real"),
        ],
        id="values of integers are read",
    ),
    pytest.param(
        analyzed(PICKS, (3, 4)), "in Python analyze(…, trace='real')", [analyzed(PICKS, (3, 4), trace="real")],
        id="values of floats are read",
    ),
    pytest.param(
        analyzed(PICKS, (3, 4), training=True), "in Python analyze(…, trace='real')",
        [analyzed(PICKS, (3, 4), training=True, trace="real")], id="in a training step",
    ),
    pytest.param(
        lambda: cnncost.analyze(lazy(), (2, 3)), "run the model once on real data, or give the size to its constructor",
        [lambda: cnncost.analyze(lazy(run=True), (2, 3)), analyzed(nn.Linear(3, 4), (2, 3))], id="a lazy layer",
    ),
    pytest.param(
        analyzed(cyclic(False), (1, 2)), "hold the back reference in a list or a weakref, not in an attribute",
        [analyzed(cyclic(True), (1, 2))], id="a cyclic tree",
    ),
    pytest.param(
        analyzed(nn.Linear, (1, 2)), "create an instance of it: Linear(...)", [analyzed(nn.Linear(2, 2), (1, 2))],
        id="a class",
    ),
    pytest.param(
        analyzed(nn.Linear(2, 2).state_dict(), (1, 2)), "build the model and load it",
        [analyzed(nn.Linear(2, 2), (1, 2))], id="a state dict",
    ),
    pytest.param(
        analyzed(LINEAR, None), "give for example inputs='1x3x224x224'", [analyzed(nn.Conv2d(3, 4, 3), "1x3x224x224")],
        id="no input",
    ),
    pytest.param(
        analyzed(nn.Conv2d(3, 4, 3), "1x3x9x9:float23"), "expected one such as float32, float16, bfloat16, int64, bool",
        [analyzed(nn.Conv2d(3, 4, 3), "1x3x9x9:float32")], id="no dtype",
    ),
    pytest.param(
        analyzed(nn.Embedding(9, 4), (1, 5)), "expected integer indices (for example ids=1x128:int64)",
        [analyzed(nn.Embedding(9, 4), "1x5:int64"), analyzed(nn.Embedding(9, 4), {"input": "1x128:int64"})],
        id="indices",
    ),
    pytest.param(
        lambda: cnncost.analyze(nn.Linear(4, 2), nested(torch.strided)), "give a padded tensor or a packed sequence",
        [analyzed(nn.Linear(4, 2), torch.zeros(2, 3, 4)), analyzed(nn.LSTM(4, 5), (packed(),))], id="a nested input",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), trace="rael"), "expected 'static', 'auto' or 'real'",
        [analyzed(LINEAR, (2, 8), trace=trace) for trace in ("static", "auto", "real")], id="a misspelt trace",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), strict="no"), "strict: expected True or False, got 'no'",
        [analyzed(LINEAR, (2, 8), strict=strict) for strict in (True, False)], id="a flag that is a text",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), training=True, set_to_none=0), "set_to_none: expected True or False, got 0",
        [analyzed(LINEAR, (2, 8), training=True, set_to_none=False)], id="a flag that is a number",
    ),
    pytest.param(
        lambda: cnncost.effective_macs(LINEAR, (2, 8), activations="off"), "expected True or False, got 'off'",
        [lambda: cnncost.effective_macs(LINEAR, (2, 8), activations=False)], id="another function's flag",
    ),
    pytest.param(
        lambda: cnncost.Meter("lenet5", (2, 8)), "expected the nn.Module that the loop runs, got 'lenet5'",
        [lambda: cnncost.Meter(LINEAR, (2, 8))], id="a Meter of a name",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), loss="cross_entropy"), "pass training=True with them",
        [analyzed(LINEAR, (2, 8), loss="cross_entropy", training=True)], id="a loss without training",
    ),
    pytest.param(
        analyzed(GRAPH, None, training=True), "need the model itself",
        [analyzed(LINEAR, (2, 8), training=True)], id="a Graph to train",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), model_args={"width": 3}), "expected a specification such as 'net.py:Net' to build",
        [lambda: cnncost.analyze(written(NET), (2, 8), model_args={"width": 3})], id="arguments for what is built",
    ),
    pytest.param(
        analyzed(nn.Linear(8, 4).requires_grad_(False), (2, 8), training=True),
        "expected trainable parameters (requires_grad)", [analyzed(nn.Linear(8, 4), (2, 8), training=True)],
        id="nothing to train",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), training=True, loss=lambda y: y * 2), "reduce it, as .mean() does",
        [analyzed(LINEAR, (2, 8), training=True, loss=lambda y: (y * 2).mean())], id="a loss of several numbers",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), training=True, loss="crossentropy"),
        "expected one of cross_entropy, mse, bce, or a function",
        [
            analyzed(LINEAR, (2, 8), training=True, loss=name) for name in ("cross_entropy", "mse", "bce")
        ],
        id="a loss of no name",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), training=True, optimizer="lbfgs"), "an optimizer whose step() needs no closure",
        [analyzed(LINEAR, (2, 8), training=True, optimizer="adamw")], id="an optimizer with a closure",
    ),
    pytest.param(
        analyzed(with_hook(removed=False), (2, 3), training=True), "remove the hook for the analysis",
        [analyzed(with_hook(removed=True), (2, 3), training=True)], id="a hook after accumulation",
    ),
    pytest.param(
        analyzed(nn.Embedding(9, 4, sparse=True), "1x5:int64", training=True), "expected sparse=False",
        [analyzed(nn.Embedding(9, 4, sparse=False), "1x5:int64", training=True)], id="sparse gradients",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), autocast="fp8"), "a device and a dtype, such as cuda:bf16; or cpu or cuda alone",
        [analyzed(LINEAR, (2, 8), autocast=each) for each in ("bf16", "fp16", "cuda:bf16", "cuda:fp16", "cpu", "cuda")],
        id="no autocast",
    ),
    pytest.param(
        analyzed(LINEAR, (2, 8), trace="real", autocast="cuda:bf16"), "expected autocast='cpu:…' or none",
        [analyzed(LINEAR, (2, 8), trace="real", autocast="cpu:bf16"), analyzed(LINEAR, (2, 8), trace="real")],
        id="another device's autocast",
    ),
    pytest.param(
        analyzed(nn.Linear(8, 4, device="meta"), (2, 8), trace="real"), "expected a model with weights",
        [analyzed(nn.Linear(8, 4), (2, 8), trace="real")], id="no weights",
    ),
    pytest.param(
        analyzed(Do(endless), (1, 2)), "expected an end to the recursion",
        [analyzed(Do(lambda self, x, n=3: x if not n else self.function(self, x * 2, n - 1)), (1, 2))], id="no end",
    ),
    pytest.param(
        lambda: cnncost.analyze(LINEAR, (2, 8)).memory.training_peak, "expected analyze(model, inputs, training=True)",
        [lambda: cnncost.analyze(LINEAR, (2, 8), training=True).memory.training_peak], id="no training step",
    ),
    pytest.param(
        lambda: cnncost.analyze(LINEAR, (2, 8)).save("report.docx"), ".md", [
            lambda ending=ending: cnncost.analyze(LINEAR, (2, 8)).save(f"report{ending}")
            for ending in (".md", ".csv", ".json", ".html")
        ],
        id="no format of this ending",
    ),
    pytest.param(
        lambda: cnncost.analyze("lenet5").layer("c33"), "did you mean c3",
        [lambda: cnncost.analyze("lenet5").layer("c3")], id="no layer of this name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fails", "advice", "does"), CASES)
def test_the_advice_works(fails, advice, does, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CnncostError) as error:
        fails()
    assert advice in str(error.value)
    for remedy in does:
        remedy()


class Registered(nn.Module):
    def forward(self, x):
        return x


def test_a_second_rule_takes_the_place_of_the_first_as_told():
    with cnncost.custom_rules({Registered: lambda module, x: cnncost.custom(x)}):
        with pytest.raises(ValueError, match="pass replace=True to replace it"):
            cnncost.module_rule(Registered)(lambda module, x: cnncost.custom(x))
        cnncost.module_rule(Registered, replace=True)(lambda module, x: cnncost.custom(x, cnncost.macs("N", 7)))
        assert cnncost.analyze(Registered(), (2, 3)).totals.macs == 7


@pytest.mark.parametrize("strict", [True, False])
def test_an_unknown_op_gets_the_rule_that_the_message_names(strict):
    library = torch.library.Library("cnncost_test_remedies", "FRAGMENT")
    name = f"mystery_{strict}".lower()
    library.define(f"{name}(Tensor x) -> Tensor")
    library.impl(name, torch.empty_like, "Meta")
    model = Do(lambda self, x: getattr(torch.ops.cnncost_test_remedies, name)(x))
    with pytest.raises(CnncostError) as error:
        cnncost.analyze(model, (2, 3), strict=True)
    kind = f"cnncost_test_remedies::{name}"
    assert f"add one with @cnncost.rule({kind!r}), or leave strict off to get lower bounds" in str(error.value)
    if strict:
        cnncost.rule(kind)(lambda spec: cnncost.cost(spec, cnncost.flops("each", 1, "E", 6)))
        assert cnncost.analyze(model, (2, 3), strict=True).totals.flops == 6
    else:
        assert cnncost.analyze(model, (2, 3)).totals.lower_bound


COMMANDS = [
    (
        ("summarize", "lenet6"),
        "did you mean lenet5",
        ("summarize", "lenet5"),
    ),
    (
        ("memory", "lenet5", "--max-batch"),
        "for example --device-memory 24GB",
        ("memory", "lenet5", "--max-batch", "--device-memory", "2MB"),
    ),
    (
        ("memory", "lenet5", "--inference", "--optimizer", "sgd"),
        "omit --optimizer",
        ("memory", "lenet5", "--inference"),
    ),
    (
        ("memory", "lenet5", "--dtype", "fp9"),
        "such as float32, bfloat16, float16",
        ("memory", "lenet5", "--dtype", "float16"),
    ),
    (
        ("summarize", "lenet5", "--by", "op", "--format", "json"),
        "leave it out",
        ("summarize", "lenet5", "--format", "json"),
    ),
    (
        ("summarize", "lenet5", "--columns", "rf"),
        "+rf, +memory",
        ("summarize", "lenet5", "--columns", "+rf,+memory"),
    ),
    (
        ("summarize", "lenet5", "--explain", "c33"),
        "did you mean c3",
        ("summarize", "lenet5", "--explain", "c3"),
    ),
    (
        ("sumarize", "lenet5"),
        "did you mean summarize",
        ("summarize", "lenet5"),
    ),
    (
        ("summarize", "lenet5", "-o", "no/such/report.md"),
        "mkdir -p",
        None,
    ),
]


def run(capsys, arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return SimpleNamespace(code=end.value.code, out=(taken := capsys.readouterr()).out, err=taken.err)


@pytest.mark.parametrize(("wrong", "advice", "right"), COMMANDS, ids=[" ".join(row[0]) for row in COMMANDS])
def test_the_advice_of_a_command_works(wrong, advice, right, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = run(capsys, wrong)
    assert failed.code == 2
    assert advice in failed.err.replace("\n", " ")
    if right is None:  # a command of the shell: make the folder, and try again
        (tmp_path / "no" / "such").mkdir(parents=True)
        right = wrong
    assert run(capsys, right).code == 0
