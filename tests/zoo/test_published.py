"""Every figure of the catalog against the network itself; the two can only be changed together."""

import pytest

from cnncost import zoo
from cnncost.zoo.connections import connections, neurons

FIGURES = [
    pytest.param(
        entry.name,
        figure,
        id=f"{entry.name} has {figure.value} {figure.quantity} in {figure.layer or 'all layers'}",
    )
    for entry in zoo.entries()
    for figure in entry.published
]


@pytest.mark.parametrize(("name", "figure"), FIGURES)
def test_published_figure(name, figure, on_meta, count_macs):
    model = on_meta(name)
    shape = zoo.entry(name).input_shape
    match figure.quantity:
        case "params":
            measured = sum(p.numel() for p in model.get_submodule(figure.layer or "").parameters())
        case "trainable_params":
            parameters = model.get_submodule(figure.layer or "").parameters()
            measured = sum(p.numel() for p in parameters if p.requires_grad)
        case "macs":
            measured = within(figure.layer, count_macs(model, shape))
        case "connections":
            measured = within(figure.layer, connections(model, shape))
        case "neurons":
            measured = within(figure.layer, neurons(model, shape))
    assert figure.agrees(measured), f"measured {measured}, published {figure}"


def within(layer: str | None, counts: dict[str, int]) -> int:
    if layer is None:
        return sum(counts.values())
    return sum(count for path, count in counts.items() if path == layer or path.startswith(f"{layer}."))


@pytest.mark.parametrize("name", zoo.names())
def test_whole_network_has_exact_params_and_macs(name):
    exact = {figure.quantity for figure in zoo.entry(name).published if figure.layer is None and not figure.tolerance}
    assert exact & {"params", "trainable_params"}
    assert "macs" in exact
