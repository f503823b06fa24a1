"""Claims of slides, as data: the printed figure, and how to compute the exact one.

Nothing here computes or imports torch. Claims contain only numbers that the slides (or the papers that they cite)
print. A Measure describes the exact figure, which is computed on demand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

from cnncost.errors import CnncostError
from cnncost.toml_file import Keys

__all__ = [
    "TOTAL",
    "Below",
    "Cell",
    "Claim",
    "Course",
    "Difference",
    "Experiment",
    "Formula",
    "Law",
    "Measure",
    "ModelFigure",
    "Option",
    "Published",
    "Ratio",
    "Scaled",
    "Share",
    "Side",
    "Slide",
    "Sum",
    "Table",
]


Option: TypeAlias = "str | float | tuple[Option, ...]"
"""The value of an argument of a network's builder."""


@dataclass(frozen=True, slots=True)
class ModelFigure:
    """A quantity of a network, or of one of its layers with all submodules.

    Attributes:
        network: a MODEL, such as a name in the zoo.
        quantity: the name of a quantity in `quantities.py`.
        layer: a module's path; empty for the whole network.
        options: keyword arguments of the network's builder.
        inputs: shapes in the form of `--input`; empty for the network's own inputs.
        optimizer: the optimizer, for quantities of a training step; empty for none.
    """

    network: str
    quantity: str
    layer: str = ""
    options: tuple[tuple[str, Option], ...] = ()
    inputs: tuple[str, ...] = ()
    optimizer: str = ""


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of several measures."""

    parts: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between two measures."""

    more: Measure
    less: Measure


@dataclass(frozen=True, slots=True)
class Below:
    """Whether one measure is less than another."""

    less: Measure
    more: Measure


@dataclass(frozen=True, slots=True)
class Share:
    """One measure as a percentage of another."""

    part: Measure
    whole: Measure


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two measures: more / less."""

    more: Measure
    less: Measure


@dataclass(frozen=True, slots=True)
class Scaled:
    """A measure times a factor, in the unit `unit`. `words` describes the factor."""

    measure: Measure
    factor: Fraction
    words: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Formula:
    """Arithmetic as text: `300·(1 + 56·56)`."""

    text: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment on actual torch modules: the name and arguments of a function in `experiments`."""

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Law:
    """A quantity of a network or layer as a formula in its sizes; `vary` is as for `cnncost.formula`."""

    of: ModelFigure
    vary: str


@dataclass(frozen=True, slots=True)
class Published:
    """A paper's figure for something that can't be computed. It can contradict a slide, but not confirm it."""

    text: str
    source: str


Measure: TypeAlias = (
    ModelFigure | Sum | Difference | Below | Share | Ratio | Scaled | Formula | Law | Experiment | Published
)

Side: TypeAlias = Literal["fc", "conv"]
TOTAL = 0
"""Row number of a table's row of totals."""


class Cell(NamedTuple):
    """A claim's position in a slide's table that compares a fully connected with a convolutional network."""

    side: Side
    row: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure or statement.

    Attributes:
        what: the subject of the figure.
        printed: the figure or statement, as printed.
        exact: how to compute the exact figure; None if it can't be computed.
        value: the figure in `printed`, if it is not the first number there.
        work: the calculation that the slide prints before the figure.
        formula: the correct calculation with numbers filled in, whose value is that of `exact`.
        right: text to show instead of yes or no, if `exact` is whether a statement holds.
        beside: further measures that help to understand the figure, with their descriptions.
        reason: why the figure differs, or a remark.
        source: who printed or stated the figure, if not only the slide.
        cell: the position in the slide's table; None if the slide has no such table.
        keys: the TOML keys that lead to the claim in its file.
    """

    what: str
    printed: str
    exact: Measure | None = None
    _: KW_ONLY
    value: str = ""
    work: str = ""
    formula: str = ""
    right: str = ""
    beside: tuple[tuple[str, Measure], ...] = ()
    reason: str = ""
    source: str = ""
    cell: Cell | None = None
    keys: Keys = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Claims that are shown together.

    Attributes:
        claims: the claims, in order.
        caption: the subject; may be empty.
        where: heading of the column of printed figures, which says where they are printed.
    """

    claims: tuple[Claim, ...]
    caption: str = ""
    where: str = "on the slide"


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide with claims. `topic` is the heading under which it appears; may be empty."""

    number: int
    title: str
    tables: tuple[Table, ...]
    topic: str = ""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims of the slide, in order."""
        return tuple(claim for table in self.tables for claim in table.claims)


@dataclass(frozen=True, slots=True)
class Course:
    """Slides with claims, and the title of the course."""

    title: str
    slides: tuple[Slide, ...]

    def numbered(self, numbers: Iterable[int]) -> tuple[Slide, ...]:
        """Return the slides with these numbers, in the order of the course.

        Raises:
            CnncostError: a slide has no claims or does not exist. The message names slides that have claims.
        """
        requested, existing = set(numbers), {slide.number for slide in self.slides}
        for number in sorted(requested - existing):
            near = sorted(sorted(existing, key=lambda other: (abs(other - number), other))[:_NEAR])
            alternatives = (
                f"the nearest with claims are {near[0]} and {near[1]}" if len(near) == _NEAR else f"only {near[0]} has"
            )
            raise CnncostError(
                f"slide {number}: has no claim to check; {alternatives} "
                f"(slides with claims: {_ranges(sorted(existing))})"
            )
        return tuple(slide for slide in self.slides if slide.number in requested)


_NEAR = 2
"""Maximum number of slides that an error message suggests."""


def _ranges(numbers: list[int]) -> str:
    """Return sorted numbers as ranges: `3-6, 17-22, 24`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
