"""The slides' tables as formulas of the image size: "What about larger images?" (slide 6), derived by hand.

N×N images, convolutions of 5×5. Padded maps are N×N, those without padding (N − 4)×(N − 4); pooling, or a stride of 2,
halves each side.
"""

import pytest

from cnncost.errors import CnncostError
from cnncost.lecture.claims import ModelFigure
from cnncost.lecture.laws import formula
from cnncost.lecture.read import ClaimsError, read

VARY = "size+side=8..1024"
ANY, EVEN, FOURTH = "N from 8 to 1,024", "N multiples of 2 from 8 to 1,024", "N multiples of 4 from 8 to 1,024"
LENET300 = {
    ("params", "FC-300"): "300·N² + 300", ("params", "FC-100"): "30,100", ("params", "FC-10"): "1,010",
    ("params", "total"): "300·N² + 31,410",  # 300 + 30,100 + 1,010
    ("macs", "FC-300"): "300·N²", ("macs", "FC-100"): "30,000", ("macs", "FC-10"): "1,000",
    ("macs", "total"): "300·N² + 31,000",
}  # fmt: skip
# slide: the convolutional half of its table, with where it holds
CONV = {
    44: ({"Conv-6": "156", "FC-10": "1,010"}, ANY),
    45: (
        {"Conv-6": "156", "FC-100": "600·N² + 100", "FC-10": "1,010", "total": "600·N² + 1,266"},  # 156 + 100 + 1,010
        ANY,
    ),
    46: (
        {
            "Conv-6": "150·N² − 1,200·N + 2,400",  # 6·25·(N − 4)²: this row of the slide is of unpadded maps
            "FC-100": "600·N²", "FC-10": "1,000",
            "total": "750·N² + 1,000",  # with padding throughout, 150·N² + 600·N²
        },
        ANY,
    ),
    52: (
        {"Conv-6": "156", "FC-100": "150·N² + 100", "FC-10": "1,010", "total": "150·N² + 1,266"},  # 100·6·(N/2)²
        EVEN,
    ),
    55: (
        {
            "Conv-6": "156", "Conv-10": "2,416", "FC-100": "100·N² + 100",  # 100·16·(N/4)²
            "FC-10": "1,010", "total": "100·N² + 3,682",  # 156 + 2,416 + 100 + 1,010
        },
        FOURTH,
    ),
}  # fmt: skip
FULL = {6: "params", 40: "params", 41: "macs", 44: "params", 45: "params", 46: "macs", 52: "params", 55: "params"}


@pytest.mark.long
def test_every_row_of_the_tables_is_a_formula(findings):
    seen = 0
    for slide, quantity in FULL.items():
        for each in (each for each in findings if each.slide.number == slide and each.claim.cell):
            what = each.claim.what
            conv, where = CONV.get(slide, ({}, ANY))
            law, where = (conv[what], where) if each.claim.cell.side == "conv" else (LENET300[quantity, what], ANY)
            (told,) = [value.value for label, value in each.beside if label.endswith("N×N images")]
            assert (slide, what, told) == (slide, what, f"{law} for {where}")
            seen += 1
    assert seen == 3 * 3 + 5 + 8 * 3 + 9


@pytest.mark.parametrize(
    ("network", "quantity", "layer", "law"),
    [
        ("conv6_stride", "params", "", f"150·N² + 1,266 for {EVEN}"),  # 100·6·(N/2)² + 100 + 1,010 + 156
        ("conv6_stride", "macs", "conv1", f"75/2·N² for {EVEN}"),  # 6·25·(N/2)²
        ("conv6_16", "macs", "conv2", f"600·N² for {FOURTH}"),  # 16·25·6·(N/2)²
        ("conv6_16", "macs", "", f"850·N² + 1,000 for {FOURTH}"),  # 150 + 600 + 100, and 10·100
        ("fc10", "params", "fc1", f"10·N² + 10 for {ANY}"),
        ("fc300", "macs", "", f"300·N² + 3,000 for {ANY}"),
    ],
)
def test_other_networks_of_the_slides(network, quantity, layer, law):
    assert formula(ModelFigure(network, quantity, layer), VARY) == law


def test_a_module_with_modules_below_it_has_their_sum():
    """Stage 1 of ResNet-18: four convolutions of 64 × 64 × 3 × 3 on maps of (N/4)²."""
    law = formula(ModelFigure("resnet18", "macs", "layer1"), "size=64..256:32")
    assert law.startswith(f"{4 * 64 * 64 * 9 // 16:,}·N² for ")


def test_a_layer_that_is_not_there():
    with pytest.raises(CnncostError, match=r"no layer c9; expected one of .*fc1"):
        formula(ModelFigure("fc10", "macs", "c9"), VARY)


HEAD = 'course = "M"\n[[slide]]\nnumber = 1\ntitle = "T"\n[[slide.claim]]\nwhat = "it"\nprinted = "1"\n'
OF = '{ model = "fc10", quantity = "macs" }'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            f'exact = {{ law = {OF}, vary = "batch" }}',
            "can't be compared with a printed figure; put it beside the figure",
        ),
        (f'beside = [{{ what = "b", exact = {{ law = {OF} }} }}]', "vary: missing"),
        (f'beside = [{{ what = "b", exact = {{ law = {OF}, vary = "batch=2..1" }} }}]', "expected a smaller size"),
        (f'beside = [{{ what = "b", exact = {{ law = {OF}, vry = "batch" }} }}]', "did you mean vary"),
        (
            f'beside = [{{ what = "b", exact = {{ law = {OF.replace("macs", "depth")}, vary = "batch" }} }}]',
            "depth: has no law; expected one of params, macs, flops, inference_peak",
        ),
    ],
)
def test_laws_that_can_not_be_claimed(tmp_path, line, said):
    path = tmp_path / "claims.toml"
    path.write_text(HEAD + line, encoding="utf-8")
    with pytest.raises(ClaimsError, match=f"claims.toml:8: .*{said}"):
        read(path)
