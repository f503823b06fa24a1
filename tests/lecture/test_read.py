"""A teacher's own claims: what is measured, and how what can't be used is refused."""

from fractions import Fraction

import pytest

from cnncost.errors import CnncostError
from cnncost.lecture.claims import Cell
from cnncost.lecture.contents import FILE
from cnncost.lecture.findings import check
from cnncost.lecture.printed import ambiguity
from cnncost.lecture.read import ClaimsError, read

HEAD = 'course = "Mine"\n[[slide]]\nnumber = 1\ntitle = "One"\n'
CLAIM = '[[slide.claim]]\nwhat = "it"\n'

NET = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, width, 3, bias=False), nn.Conv2d(width, 8, 3, stride=2)
        self.side = nn.Conv2d(width, 8, 3, stride=2)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = F.gelu(self.a(x))
        x = self.norm(self.b(x) + self.side(x))
        return self.head(F.max_pool2d(F.max_pool2d(x, 2), 2)[:, :, 0, 0])


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Parameter(torch.ones(4, 3, 3, 3)), nn.Parameter(torch.ones(2, 4, 1, 1))

    def forward(self, x):
        return F.conv2d(F.conv2d(x, self.one), self.two)


class Two(nn.Module):
    def forward(self, x):
        return x, x


@torch.library.custom_op("claims::opaque", mutates_args=())
def opaque(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@opaque.register_fake
def _(x):
    return torch.empty_like(x)


class Unknown(nn.Module):
    def forward(self, x):
        return opaque(x)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "claimed.py").write_text(NET)
    return tmp_path


def written(folder, text):
    path = folder / "claims.toml"
    path.write_text(text, encoding="utf-8")
    return path


def found(folder, exact, printed="1", more=""):
    file = read(written(folder, f'{HEAD}{CLAIM}printed = "{printed}"\nexact = {exact}\n{more}'))
    (finding,) = check(file, file.course.slides)
    return finding


def of(quantity, more=""):
    return f'{{ model = "claimed.py:Net", quantity = "{quantity}", input = "1x3x21x21"{more} }}'


CONVS = of("convs")
ONE, OTHER = (of("params", f', layer = "{layer}"') for layer in ("b", "side"))
A, B, SIDE, HEAD_PARAMS = 4 * 3 * 9, 8 * 4 * 9, 8 * 4 * 9, 8 * 5


@pytest.mark.parametrize(
    ("exact", "value"),
    [
        (of("params"), A + B + 8 + SIDE + 8 + 2 * 8 + HEAD_PARAMS + 5),
        (of("weights"), A + B + SIDE + 8 + HEAD_PARAMS),  # a norm's factors are no biases
        (of("macs"), A * 19 * 19 + (B + SIDE) * 9 * 9 + HEAD_PARAMS),
        (of("macs", ', layer = "b"'), B * 9 * 9),
        (of("param_bytes"), 4 * (A + B + 8 + SIDE + 8 + 2 * 8 + HEAD_PARAMS + 5)),
        (of("output_size", ', layer = "b"'), (8, 9, 9)),
        (of("receptive_field", ', layer = "b"'), (5, 5)),
        (of("jump", ', layer = "b"'), 2),
        (of("depth"), 3),  # b and side run side by side
        (of("convs"), 3),
        (of("pools"), 2),  # functional ones, in one module
        (of("activations"), "GELU"),
        (of("stride", ', layer = "side"'), 2),
        (of("maps", ', layer = "a", model_args = { width = 6 }'), 6),
        ('{ model = "claimed.py:Functional", quantity = "convs", input = "1x3x8x8" }', 2),
        ('{ model = "claimed.py:Functional", quantity = "depth", input = "1x3x8x8" }', 2),
        ('{ model = "claimed.py:Functional", quantity = "weights", input = "1x3x8x8" }', 4 * 3 * 9 + 2 * 4),
        (f"{{ ratio = [{ONE}, {OTHER}] }}", 1),
        (f"{{ sum = [{CONVS}, {of('linears')}, {{ formula = '2·3' }}] }}", 3 + 1 + 6),
        (f"{{ times = '1/4', of = {CONVS} }}", Fraction(3, 4)),
        (f"{{ below = [{CONVS}, {{ formula = '4' }}] }}", True),
    ],
)  # fmt: skip
def test_what_is_measured(folder, exact, value):
    assert found(folder, exact).exact.value == value


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("25.6M", "rounded"), ("25.6 Mparams", "rounded"), ("25.5M", "rounded"), ("26.5M", "differs"),
        ("25,557,032", "exact"), ("25,557,033", "differs"), ("about 26M parameters", "rounded"),
        ("24.4 MiB", "rounded"), ("25.6 MiB", "differs"), ("0.0256 G", "rounded"), ("25557 K", "rounded"),
    ],
)  # fmt: skip
def test_figures_as_people_print_them(folder, printed, verdict):
    assert found(folder, '{ model = "resnet50", quantity = "params" }', printed).verdict == verdict


@pytest.mark.parametrize(
    "text", ["25,6M", "25 557 032", "4-5 G", "4 to 5 M", "7B", "4.1GOps", "< 5M", "at most 5M", "5e6", "a 64 x 3 layer"]
)
def test_what_could_be_read_in_two_ways_is_refused(folder, text):
    assert ambiguity(text)
    with pytest.raises(ClaimsError, match=r"claims\.toml:7: printed: "):
        found(folder, '{ model = "resnet50", quantity = "params" }', text)
    assert found(folder, '{ model = "resnet50", quantity = "params" }', text, 'value = "25.6M"').verdict == "rounded"


BAD = [
    ("", "course: missing"),
    ("course = 1", ":1: course: expected a title"),
    ('course = "Mine"', "no slide; add"),
    ('course = "Mine"\n[[slide', "broken TOML"),
    ('course = "Mine"\n[[slides]]\nnumber = 1', ":2: unknown key 'slides'"),
    (HEAD, ":2: a slide without a claim"),
    (HEAD.replace("1", '"1"') + CLAIM, ":3: number: expected a slide's number"),
    (HEAD.replace("1", "true") + CLAIM, ":3: number: expected a slide's number"),
    (HEAD + CLAIM, ":5: printed: missing"),
    (HEAD + CLAIM + "printed = 25.6", ":7: printed: expected what the slide prints"),
    (HEAD + CLAIM + 'printd = "1"', "did you mean printed"),
    (HEAD + CLAIM + 'printed = "1"\n' + CLAIM + 'printed = "1"\nx = "1"', ":11: unknown key 'x'"),
    (HEAD + 2 * (CLAIM + 'printed = "1"\ncell = { side = "fc", row = 1 }\n'), ":12: cell: another claim has this cell"),
    (HEAD + CLAIM + 'printed = "1"\ncell = { side = "left", row = 1 }', ":8: cell: expected"),
    (HEAD + CLAIM + 'printed = "1"\nformula = "1 + x"', ":8: formula: "),
]  # fmt: skip
EXACT = [
    ('"macs"', "expected a measure"),
    ("{ }", "has none of model, sum"),
    ('{ modle = "lenet5" }', "did you mean model"),
    ('{ model = "lenet5" }', "quantity: missing"),
    ('{ model = "lenet5", quantity = "mac" }', "unknown quantity 'mac'; did you mean macs"),
    ('{ model = "lenet5", quantity = "nothing like it" }', "; expected one of "),
    ('{ model = 5, quantity = "macs" }', "model: expected a MODEL"),
    ('{ model = "lenet5", quantity = "macs", input = "1xx" }', "1xx"),
    (
        '{ model = "lenet5", quantity = "macs", optimizer = "sgd" }',
        "macs needs no training step; only training_peak, training_peak_by_device do",
    ),
    ('{ model = "lenet5", quantity = "param_bytes", layer = "c1" }', "of the whole model"),
    ('{ model = "lenet5", quantity = "macs", formula = "1" }', "has both model and formula"),
    ('{ ratio = [{ formula = "1" }] }', "expected a list of 2 measures, got 1"),
    ('{ sum = [{ formula = "1" }] }', "expected a list of two or more measures, got 1"),
    ('{ formula = "1 / 2" }', "expected whole numbers"),
    ('{ times = "half", of = { formula = "1" } }', "times: expected a factor"),
    ('{ model = "lenet6", quantity = "macs" }', "lenet6"),
    ('{ model = "nope.py:Net", quantity = "macs" }', "nope.py"),
    ('{ model = "lenet5", quantity = "macs", layer = "c9" }', "c9"),
    ('{ model = "lenet5", quantity = "kernel", layer = "f6" }', "has none"),
    ('{ model = "lenet5", quantity = "kernel" }', "has different values"),
    ('{ model = "lenet5", quantity = "map_size", layer = "f6" }', "returns no maps"),
    ('{ model = "claimed.py:Two", quantity = "features", input = "1x3" }', "returns 2 tensors"),
    ('{ model = "claimed.py:Unknown", quantity = "macs", input = "1x3" }', "no rule counts claims.opaque"),
    ('{ model = "claimed.py:Net", quantity = "connections", input = "1x3x21x21" }', "networks in the zoo"),
    ('{ sum = [{ model = "lenet5", quantity = "map_size", layer = "c1" }, { formula = "1" }] }', "for arithmetic"),
    ('{ ratio = [{ formula = "1" }, { formula = "0" }] }', "zero"),
    ('{ experiment = "conv_formul" }', "did you mean conv_formula"),
    ('{ experiment = "conv_params", arguments = [1] }', "expected arguments"),
]


@pytest.mark.parametrize(
    ("text", "words"), [*BAD, *((f'{HEAD}{CLAIM}printed = "1"\nexact = {e}', w) for e, w in EXACT)]
)
def test_bad_files_are_one_line_that_says_where(folder, text, words):
    path = written(folder, text)
    with pytest.raises(CnncostError) as caught:
        check(file := read(path), file.course.slides)
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{path}:")
    assert "\n" not in message


def test_two_slides_of_one_number_are_refused(folder):
    slide = HEAD.removeprefix('course = "Mine"\n') + CLAIM + 'printed = "1"\n'
    with pytest.raises(ClaimsError, match=r":9: a second slide 1"):
        read(written(folder, 'course = "Mine"\n' + slide + slide))


def test_no_such_file(tmp_path):
    with pytest.raises(ClaimsError, match=r"nope\.toml: can't be read: No such file"):
        read(tmp_path / "nope.toml")


def test_a_formula_has_to_give_what_is_measured(folder):
    exact = '{ model = "lenet300", quantity = "weights", layer = "fc1" }'
    assert found(folder, exact, "230k", 'formula = "300·(28·28)"').work == "300·(28·28)"
    with pytest.raises(ClaimsError, match=r":5: it: formula: gives 235,500, but the measured figure is 235,200"):
        found(folder, exact, "230k", 'formula = "300·(28·28 + 1)"')


def test_files_are_read_from_the_folder_of_the_claims(tmp_path):
    for name, width in (("a", 4), ("b", 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "claimed.py").write_text(NET.replace("width=4", f"width={width}"))
        exact = of("maps", ', layer = "a"')
        assert found(tmp_path / name, exact).exact.value == width


def test_consecutive_claims_of_one_caption_are_one_table(folder):
    claims = "".join(f'{CLAIM}printed = "1"\n{table}' for table in ("", "", 'table = "apart"\n', ""))
    (slide,) = read(written(folder, HEAD + claims)).course.slides
    assert [(table.caption, len(table.claims)) for table in slide.tables] == [("", 2), ("apart", 1), ("", 1)]


def test_a_row_named_total_is_the_last(folder):
    cells = "".join(f'{CLAIM}printed = "1"\ncell = {{ side = "fc", row = {row} }}\n' for row in ("1", '"total"'))
    (slide,) = read(written(folder, HEAD + cells)).course.slides
    assert [claim.cell for claim in slide.claims] == [Cell("fc", 1), Cell("fc", 0)]


def test_the_papers_figures_in_the_course_are_those_of_the_zoo():
    """Each is typed twice, there and in the zoo's catalog."""
    from cnncost import units, zoo
    from cnncost.lecture.claims import ModelFigure

    figures = {}
    for name in zoo.names():
        for figure in zoo.entry(name).published:
            key = name, figure.quantity, figure.layer or ""
            figures.setdefault(key, set()).add(figure.printed or units.exact(figure.value))
    claimed = [
        claim
        for slide in FILE.course.slides
        for table in slide.tables
        if "paper" in table.where
        for claim in table.claims
        if isinstance(claim.exact, ModelFigure)
    ]
    known = [claim for claim in claimed if (claim.exact.network, claim.exact.quantity, claim.exact.layer) in figures]
    assert len(known) > 20
    for claim in known:
        assert claim.printed in figures[claim.exact.network, claim.exact.quantity, claim.exact.layer], claim
