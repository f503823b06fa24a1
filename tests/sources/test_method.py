"""MODEL with a method: what is called in place of forward, and what is said where there is none."""

import textwrap

import pytest
import torch

import cnncost
from cnncost.cli import main
from cnncost.errors import CnncostError, InputError, SourceError
from cnncost.sources.method import split_method

torch.set_num_threads(1)

NET = """
    from functools import partial

    import torch
    from torch import nn


    class Net(nn.Module):
        width = 3

        def __init__(self, hidden=16):
            super().__init__()
            self.encoder, self.head = nn.Linear(8, hidden), nn.Linear(hidden, 4)
            self.decoder = nn.Sequential(nn.Linear(hidden, 5))

        def encode(self, x):
            return self.encoder(x).relu()

        def by_name(self, x, *, twice=False):
            return self.encode(x) if not twice else self.encode(x) + self.encode(x)

        @property
        def broken(self):
            raise RuntimeError("not yet")

        def forward(self, x):
            return self.head(self.encode(x))


    class Reads(Net):
        def pick(self, x):
            return self.encode(x)[x[:, 0] > 0.5]


    def build(hidden=16):
        return Net(hidden)


    class Module:
        nested = Net


    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.experts = nn.Linear(8, 2), nn.ModuleList([nn.Linear(8, 4), nn.Linear(8, 4)])

        def forward(self, x):
            chosen, out = self.gate(x).argmax(-1), x.new_zeros(len(x), 4)
            for i, expert in enumerate(self.experts):
                rows = (chosen == i).nonzero()[:, 0]
                out = out.index_copy(0, rows, expert(x[rows]))
            return out
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net_with_methods.py").write_text(textwrap.dedent(NET))
    monkeypatch.chdir(tmp_path)
    return tmp_path


ENCODER, HEAD, DECODER = 2 * 8 * 16, 2 * 16 * 4, 2 * 16 * 5
FILE = "net_with_methods.py:"


@pytest.mark.parametrize(
    ("spec", "inputs", "macs"),
    [
        pytest.param(FILE + "Net", "2x8", ENCODER + HEAD, id="forward"),
        pytest.param(FILE + "Net#forward", "2x8", ENCODER + HEAD, id="forward by its name"),
        pytest.param(FILE + "Net#encode", "2x8", ENCODER, id="a method"),
        pytest.param(FILE + "build#encode", "2x8", ENCODER, id="of what a factory makes"),
        pytest.param(FILE + "Module.nested#encode", "2x8", ENCODER, id="of a nested class"),
        pytest.param("net_with_methods:Net#encode", "2x8", ENCODER, id="of a package"),
        pytest.param(FILE + "Net#head", "2x16", HEAD, id="a module"),
        pytest.param(FILE + "Net#decoder.forward", "2x16", DECODER, id="a module's method"),
        pytest.param(FILE + "Net#by_name", {"x": "2x8"}, ENCODER, id="keyword arguments"),
        pytest.param(FILE + "Net#by_name", {"x": "2x8", "twice": cnncost.literal(True)}, 2 * ENCODER, id="an option"),
        pytest.param("resnet18#forward", None, cnncost.analyze("resnet18").totals.macs, id="of the zoo"),
        pytest.param("lenet5#c1", "1x1x32x32", 28 * 28 * 6 * 25, id="a layer of the zoo"),
    ],
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_what_is_called(spec, inputs, macs, trace):
    report = cnncost.analyze(spec, inputs, trace=trace)
    assert report.totals.macs == macs
    assert report.model == spec


def test_a_training_step_of_a_method():
    report = cnncost.analyze(FILE + "Net#encode", "2x8", training=True, model_args={"hidden": 32})
    assert report.totals.training_macs == 2 * (2 * 8 * 32)  # the input needs no gradient


def test_a_child_of_a_sequence_is_named_by_its_number():
    assert cnncost.analyze(FILE + "Net#decoder.0", "2x16").totals.macs == 2 * 16 * 5
    assert cnncost.analyze("resnet18#layer1.0", "1x64x8x8").totals.macs == 2 * 8 * 8 * 64 * 64 * 9


def test_values_are_read_by_a_method():
    report = cnncost.analyze(FILE + "Reads#pick", "2x8", trace="auto")
    assert report.totals.macs == ENCODER
    assert report.run_on


def test_the_names_of_modules_are_the_models():
    report = cnncost.analyze(FILE + "Net#encode", "2x8")
    assert report.layer("encoder").macs == ENCODER
    assert report.layer("head").status == "unused"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param("Net#encod", "Net has no method encod; did you mean encode, encoder, decoder?", id="misspelt"),
        pytest.param("Net#decoder.1", "Sequential has no method 1", id="a number"),
        pytest.param("Net#0", "Net has no method 0", id="a number of no list"),
        pytest.param("Net#decoder.forwrd", "Sequential has no method forwrd; did you mean forward?", id="deep"),
        pytest.param("Net#nothing_like_it", "Net has no method nothing_like_it", id="like none"),
        pytest.param("Net#width", "expected a method or a module after #, got int", id="a number of its own"),
        pytest.param("Net#broken", "Net has no method broken (not yet)", id="a property that fails"),
        pytest.param("Net#", "expected the name of a method after #, as in net.py:Net#encode, got ''", id="nothing"),
        pytest.param("Net#two words", "got 'two words'", id="no name"),
        pytest.param("Nett#encode", "has no Nett; did you mean Net", id="the class misspelt"),
    ],
)
def test_a_misfit_is_told_with_what_is_near(spec, words):
    with pytest.raises(SourceError) as error:
        cnncost.analyze(FILE + spec, "2x8")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_in_a_model_has_no_input_of_its_own():
    with pytest.raises(InputError, match="resnet18#layer1: no input given"):
        cnncost.analyze("resnet18#layer1")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("net.py:Net#encode", ("net.py:Net", "encode")), ("net.py:Net", ("net.py:Net", "")),
        ("a#b/net.py:Net", ("a#b/net.py:Net", "")), ("a#b/net.py:Net#f", ("a#b/net.py:Net", "f")),
        ("torchvision:resnet18#_forward_impl", ("torchvision:resnet18", "_forward_impl")),
        ("hf:bert#encoder.layer", ("hf:bert", "encoder.layer")), ("#x", ("#x", "")),
    ],
)  # fmt: skip
def test_where_the_method_begins(spec, parts):
    assert split_method(spec) == parts


def test_a_file_with_the_sign_in_its_name(folder):
    (folder / "net#2.pt2").write_bytes(b"rubbish")
    with pytest.raises(SourceError, match=r"net#2\.pt2: not a program"):
        cnncost.analyze("net#2.pt2")


# ---- the command line


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    out, err = capsys.readouterr()
    return end.value.code, out, err


@pytest.mark.parametrize(
    "command", [("summarize",), ("memory",), ("roofline", "--device", "h100"), ("compare", FILE + "Net")]
)
def test_commands_take_a_method(command, capsys):
    code, out, err = run(capsys, command[0], FILE + "Net#encode", "--input", "2x8", *command[1:])
    assert (code, err) == (0, "")
    assert "ncode" in out  # in a narrow table a long name is shortened in the middle


def test_receptive_fields_of_a_method(capsys):
    code, out, err = run(capsys, "rf", "lenet5#forward")
    assert (code, err) == (0, "")
    assert "lenet5#forward" in out


@pytest.mark.parametrize(("command", "who"), [("verify", "verify"), ("bench", "a measurement")])
def test_what_runs_forward_alone_says_so(command, who, capsys):
    code, out, err = run(capsys, command, FILE + "Net#encode", "--input", "2x8")
    assert (code, out) == (2, "")
    advice = f"cnncost summarize {FILE}Net#encode"
    assert f"{who} runs the model's own forward, not a method; give the model alone, {FILE}Net, or" in err
    assert err.endswith(advice + "\n")
    assert run(capsys, *advice.split()[1:], "--input", "2x8")[0] == 0  # the advice works


@pytest.mark.parametrize("command", [("memory",), ("summarize", "--training")])
def test_training_steps_of_a_model_that_reads_values(command, capsys):
    """All MACs are those of 6 rows, whichever expert gets them: gate 8·2, expert 8·4, in backward for the weights."""
    arguments = (command[0], FILE + "Router", "--input", "6x8", *command[1:])
    code, out, err = run(capsys, *arguments, "--trace", "static")
    assert code == 2
    assert "forward reads the values of a tensor" in err
    for trace in ("real", "auto"):
        code, out, err = run(capsys, *arguments, "--trace", trace)
        assert (code, err) == (0, "")
        assert "run on values drawn" in " ".join(out.split())
    if command[0] == "summarize":
        assert f"training step: {2 * 6 * 8 * 4 + 6 * 8 * 2} MACs" in out
        assert "(by data)" in out


@pytest.mark.parametrize("trace", ["static", "real", "auto"])
def test_memory_in_another_dtype_is_of_that_dtype_in_every_trace(trace, capsys):
    code, out, _ = run(
        capsys, "memory", FILE + "Net", "--input", "2x8", "--dtype", "float64", "--trace", trace, "--format", "csv"
    )
    assert code == 0
    assert f"inference,encoder,parameters,{8 * (8 * 16 + 16)}" in out.splitlines()


def test_a_largest_batch_on_values(capsys):
    code, out, err = run(
        capsys, "memory", FILE + "Router", "--input", "6x8", "--trace", "real", "--inference", "--device-memory", "1MiB"
    )
    assert (code, err) == (0, "")
    assert "fits" in out


def test_training_is_not_for_a_saved_report(capsys, tmp_path):
    cnncost.analyze("lenet5").save(tmp_path / "lenet5.json")
    code, _, err = run(capsys, "summarize", "lenet5.json", "--training")
    assert code == 2
    assert "--training is for models" in err


def test_the_base_of_all_that_is_raised():
    with pytest.raises(CnncostError):
        cnncost.analyze(FILE + "Net#nothing", "2x8")


def test_a_batch_needs_the_input_of_a_method(capsys):
    code, _, err = run(capsys, "roofline", "resnet18#layer1", "--device", "h100", "--batch", "4")
    assert code == 2
    assert "no input given, and the source has no default" in err
    code, out, err = run(
        capsys, "roofline", "resnet18#layer1", "--device", "h100", "--batch", "4", "--input", "1x64x56x56"
    )
    assert (code, err) == (0, "")
    assert "4×64×56×56" in out
