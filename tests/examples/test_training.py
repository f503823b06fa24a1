"""The examples that train: MNIST's files, the table of slide 56, gradients that vanish, and their pictures."""

import gzip
import runpy
import struct
from pathlib import Path

import pytest
import torch

from cnncost import CnncostError

LABELS, IMAGES = "t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(monkeypatch, capsys):
    """Run an example with arguments: exit code and output."""

    def run(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        except SystemExit as exited:
            code = exited.code
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def module():
    return runpy.run_path(str(EXAMPLES / "train_mnist.py"))


def write_idx(path, values, zipped=False):
    data = struct.pack(f">{1 + values.dim()}I", 0x0800 + values.dim(), *values.shape) + bytes(values.flatten().tolist())
    (path.with_name(path.name + ".gz") if zipped else path).write_bytes(gzip.compress(data) if zipped else data)


@pytest.fixture
def folder(tmp_path):
    """MNIST in small: bright left halves are 0, bright right halves are 1."""
    for part, count in (("train", 96), ("t10k", 40)):
        labels = torch.arange(count) % 2
        images = torch.zeros(count, 28, 28, dtype=torch.int64)
        images[labels == 0, :, :14] = 200
        images[labels == 1, :, 14:] = 200
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images, zipped=part == "train")
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    return tmp_path


def test_the_files_of_mnist_are_read(module, folder):
    training, test = module["mnist"](folder)

    assert training.images.shape == (96, 1, 28, 28)
    assert test.labels.tolist() == [0, 1] * 20
    assert float(training.images[0, 0, 0, 0]) == pytest.approx(200 / 255)
    assert float(training.images[0, 0, 0, 27]) == 0


@pytest.mark.long
def test_all_five_networks_learn_it_and_a_picture_is_drawn(example, folder):
    code, out, _ = example("train_mnist.py", "--data", folder, "--epochs", 6, "--plot", folder / "out.svg")
    rows = [line.split() for line in out.splitlines()[3:8]]
    picture = (folder / "out.svg").read_text()

    assert code == 0
    assert out.startswith("MNIST; 96 to train on, 40 to test on, 6 epochs")
    assert [row[0] for row in rows] == ["fc10", "fc300", "lenet300", "lenet1", "lenet5"]
    assert [row[-2:] for row in rows] == [
        ["7,850", "7,840"], ["238,510", "238,200"], ["266,610", "266,200"], ["2,578", "91,520"], ["60,000", "325,680"],
    ]  # fmt: skip
    assert [float(row[-4]) for row in rows] == [0, 0, 0, 0, 0]
    assert all(f"<!-- {text} -->" in picture for text in ("lenet5", "parameters", "MACs", "here: MNIST"))


def test_without_files_it_says_what_it_takes(module):
    training, test = module["shipped"]()

    assert (len(training.labels), len(test.labels)) == (1437, 360)
    assert training.images.shape[1:] == (1, 28, 28)
    assert 0 <= float(training.images.min()) < float(training.images.max()) <= 1


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / LABELS).unlink(), "can't be read"),
        (lambda folder: (folder / LABELS).write_bytes(b"\0\0"), "can't be read"),
        (lambda folder: (folder / LABELS).write_bytes(b"\0" * 99), "expected an IDX file"),
        (lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip"), "can't be read"),
        (lambda folder: write_idx(folder / LABELS, torch.zeros(3, dtype=torch.int64)), "as many labels"),
        (lambda folder: write_idx(folder / LABELS, torch.full((40,), 10)), "labels of 0 to 9"),
        (lambda folder: write_idx(folder / IMAGES, torch.zeros(40, 8, 8, dtype=torch.int64)), "28×28"),
    ],
)  # fmt: skip
def test_files_that_are_not_mnist(module, example, folder, damage, told):
    damage(folder)
    with pytest.raises(CnncostError, match=told):
        module["mnist"](folder)
    code, _, err = example("train_mnist.py", "--data", folder)
    assert (code, err.count("\n")) == (2, 1)


def test_no_folder_and_no_place_for_the_picture(example, tmp_path):
    code, out, err = example("train_mnist.py", "--data", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "no such folder" in err
    code, _, err = example("train_mnist.py", "--plot", tmp_path / "no" / "out.svg")
    assert (code, "does not exist" in err) == (2, True)


@pytest.mark.long
def test_gradients_vanish_with_sigmoids_and_not_with_skip_connections(example, tmp_path):
    code, out, _ = example("vanishing_gradients.py", "--plot", tmp_path / "out.svg")
    last = next(line for line in out.splitlines() if line.startswith("first / last"))
    sigmoid, sigmoid_residual, relu, relu_residual = map(float, last.split()[3:])

    assert code == 0
    assert sigmoid < 1e-9  # a factor of at most 1/4 a layer, 24 of them, and weights that do not make up for it
    assert all(0.05 < ratio < 20 for ratio in (sigmoid_residual, relu, relu_residual))
    assert "<!-- sigmoid, plain -->" in (tmp_path / "out.svg").read_text()
