"""A sample of the sweep over other people's models; `sweep.py` is run over all of them."""

import pytest
import sweep
import zoos

SAMPLE = {
    "1-D net": "", "3-D net": "", "torchvision:squeezenet1_1": "torchvision", "timm:tinynet_e": "timm",
    "hf:bert": "transformers",
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=zoos.needs(library)) if library else name for name, library in SAMPLE.items()]
)
def test_no_law_is_contradicted(name):
    (model,) = [each for each in sweep.models() if each.name == name]
    found = sweep.judged(model, 9)

    assert (len(found.laws), found.compared, found.wrong) == (5, 9, 0), found
