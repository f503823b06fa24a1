import pytest
import torch

from cnncost import zoo


@pytest.mark.parametrize(
    ("name", "weights", "biases"),
    [
        pytest.param("fc10", 784 * 10, 10, id="FC-10"),
        pytest.param("fc300", 784 * 300 + 300 * 10, 300 + 10, id="FC-300-10"),
        pytest.param(
            "lenet300",
            784 * 300 + 300 * 100 + 100 * 10,
            300 + 100 + 10,
            id="LeNet-300 has 235,200 + 30,000 + 1,000",
        ),
    ],
)
def test_parameters_are_weights_and_biases(name, weights, biases, on_meta):
    parameters = dict(on_meta(name).named_parameters())
    assert sum(p.numel() for n, p in parameters.items() if n.endswith("weight")) == weights
    assert sum(p.numel() for n, p in parameters.items() if n.endswith("bias")) == biases


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        pytest.param("fc10", ["flatten", "fc1"], id="FC-10"),
        pytest.param("fc300", ["flatten", "fc1", "relu1", "fc2"], id="FC-300-10"),
        pytest.param("lenet300", ["flatten", "fc1", "relu1", "fc2", "relu2", "fc3"], id="LeNet-300"),
    ],
)
def test_layers_have_their_names(name, layers, on_meta):
    assert [path for path, _ in on_meta(name).named_children()] == layers


def test_linear_classifier_is_linear():
    model = zoo.build("fc10")
    x, y = torch.randn(2, 1, 28, 28), torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(model(x + y) - model(y), model(x) - model(torch.zeros_like(x)), atol=1e-5)
