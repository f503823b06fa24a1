"""Real forward, real backward, real optimizer steps on real digits: the loss must fall."""

import pytest
import torch
import torch.nn.functional as F

from cnncost import zoo
from cnncost.zoo.rbf import map_loss, mle_loss
from tests.samples import sample


def train(model, images, labels, loss, *, steps, rate=0.005):
    """The loss before the first of so many steps of Adam, and after the last."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    before = loss(model(images), labels).item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    return before, loss(model(images), labels).item()


@pytest.fixture(autouse=True)
def _same_weights_each_time():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    "name", ["fc10", "fc300", "lenet300", "conv6", "conv6_valid", "conv6_pool", "conv6_stride", "conv6_16"]
)
def test_networks_of_the_lecture_learn_digits(name, digits):
    some = digits(64)
    before, after = train(zoo.build(name), some.resized(28), some.labels, F.cross_entropy, steps=20)
    assert before == pytest.approx(2.3, abs=0.2)
    assert after < before / 2


@pytest.mark.long
def test_lenet1_learns_digits(digits):
    some = digits(64)
    model, images = zoo.build("lenet1"), some.resized(28) * 2 - 1

    def squared_error(outputs, labels):
        return F.mse_loss(outputs, 2.0 * F.one_hot(labels, 10) - 1)

    before, after = train(model, images, some.labels, squared_error, steps=50)
    assert after < before / 3
    assert (model(images).argmax(dim=1) == some.labels).float().mean() > 0.8


@pytest.mark.long
@pytest.mark.parametrize(
    "loss", sample([pytest.param(map_loss, id="equation 9"), pytest.param(mle_loss, id="equation 8")], 1)
)
def test_lenet5_learns_digits_by_their_distance_to_the_codes(loss, digits):
    some = digits(64)
    # section II.B: paper is -0.1 and ink 1.175, so that the mean input is near 0 and its variance near 1
    images = F.pad(some.resized(28) * 1.275 - 0.1, (2, 2, 2, 2), value=-0.1)
    model = zoo.build("lenet5")
    before, after = train(model, images, some.labels, loss, steps=60)
    assert before == pytest.approx(84, abs=4)
    assert after < before / 4
    assert (model(images).argmin(dim=1) == some.labels).float().mean() > 0.8


def test_modern_lenet5_learns_digits(digits):
    some = digits(128)
    before, after = train(zoo.build("lenet5_modern"), some.resized(32), some.labels, F.cross_entropy, steps=20)
    assert after < before / 2


@pytest.mark.parametrize(
    "name", sample(["alexnet", "alexnet_two_gpu", "vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19"], 4)
)
def test_narrow_networks_at_their_papers_input_size_learn(name, digits):
    some = digits(4)
    images = some.resized(zoo.entry(name).input_shape[-1], channels=3)
    model = zoo.build(name, width=0.0625, num_classes=10, dropout=0.0)
    before, after = train(model, images, some.labels, F.cross_entropy, steps=4, rate=0.001)
    assert after < before


@pytest.mark.parametrize(
    "name", sample(["resnet18", "resnet152", "resnet34", "resnet50", "resnet101", "plain18", "plain34"], 3)
)
def test_narrow_residual_and_plain_networks_learn(name, digits):
    some = digits(8)
    model = zoo.build(name, width=0.25, num_classes=10)
    before, after = train(model, some.resized(64, channels=3), some.labels, F.cross_entropy, steps=10, rate=0.001)
    assert after < before


@pytest.mark.parametrize("name", ["resnet18", "plain18"])
def test_full_networks_learn_at_a_smaller_input_size(name, digits):
    some = digits(4)
    model = zoo.build(name, num_classes=10)
    before, after = train(model, some.resized(64, channels=3), some.labels, F.cross_entropy, steps=2, rate=0.001)
    assert after < before
