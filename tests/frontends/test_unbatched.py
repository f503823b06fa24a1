"""An image without a batch axis is one example, and a note says so."""

import pytest
import torch
from torch import nn

import cnncost


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, 3, 3))

    def forward(self, x):
        return nn.functional.conv2d((x - 0.5) / 0.25, self.weight)


class Before(nn.Module):
    """Something before the convolution."""

    def __init__(self, before):
        super().__init__()
        self.before, self.conv = before, nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(self.before(x))


class Two(nn.Module):
    """The second input is no image of the first's."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(8, 8)

    def forward(self, x, y):
        return self.fc(x), self.conv(y)


@pytest.mark.parametrize(
    ("model", "shape", "batch"),
    [
        pytest.param(nn.Conv2d(3, 4, 3), (3, 8, 8), 1, id="2d"),
        pytest.param(nn.Conv1d(3, 4, 3), (3, 8), 1, id="1d"),
        pytest.param(nn.Conv3d(3, 4, 3), (3, 8, 8, 8), 1, id="3d"),
        pytest.param(nn.ConvTranspose2d(3, 4, 3), (3, 8, 8), 1, id="transposed"),
        pytest.param(Functional(), (3, 8, 8), 1, id="normalized before"),
        pytest.param(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), (3, 8, 8), 1, id="behind a pointwise layer"),
        pytest.param(Before(lambda x: nn.functional.pad(x, (0, 1, 0, 1))), (3, 8, 8), 1, id="padded before"),
        pytest.param(Before(lambda x: x.double().float()), (3, 8, 8), 1, id="cast before"),
        pytest.param(Before(lambda x: x[:, 1:7, 1:7]), (3, 8, 8), 1, id="cropped before"),
        pytest.param(Before(lambda x: x.permute(2, 0, 1)), (8, 8, 3), 1, id="channels last before"),
        pytest.param(Before(lambda x: x[None]), (3, 8, 8), 1, id="batched by forward"),
        pytest.param(Before(lambda x: nn.functional.pad(x, (0, 1, 0, 1))), (2, 3, 8, 8), 2, id="a padded batch"),
        pytest.param(nn.Conv2d(3, 4, 3), (3, 3, 8, 8), 3, id="batched 2d"),
        pytest.param(nn.Conv1d(3, 4, 3), (2, 3, 8), 2, id="batched 1d"),
        pytest.param(nn.Linear(8, 4), (3, 8), 3, id="no convolution"),
        pytest.param(nn.Sequential(nn.Linear(8, 8), nn.Conv1d(3, 4, 3)), (3, 8), 3, id="not of the input itself"),
        pytest.param(Two(), ((5, 8), (3, 8, 8)), 5, id="of another input"),
    ],
)
@pytest.mark.parametrize("trace", ["static", "real"])
def test_how_many_examples_there_are(model, shape, batch, trace):
    report = cnncost.analyze(model, shape, trace=trace)
    assert report.batch == batch
    unbatched = batch == 1
    assert any("no batch axis" in note for note in report.notes) == unbatched


class Pooled(nn.Sequential):
    """Forward fails where its convolution's output has no batch axis."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("trace", ["static", "auto", "real"])
def test_where_forward_fails_for_want_of_it_the_error_says_so(trace):
    with pytest.raises(cnncost.CnncostError, match=r"has no batch axis.*a batch of one is 1x3x8x8") as error:
        cnncost.analyze(Pooled(), (3, 8, 8), trace=trace)
    assert error.value.partial.batch == 1
    with pytest.raises(cnncost.CnncostError) as other:
        cnncost.analyze(Pooled(), (1, 4, 8, 8), trace=trace)
    assert "batch axis" not in str(other.value)


def test_it_is_so_under_autocast():
    report = cnncost.analyze(nn.Conv2d(3, 4, 3), (3, 8, 8), autocast="bf16")
    assert report.batch == 1
    assert any("no batch axis" in note for note in report.notes)
