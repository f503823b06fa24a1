"""Results of public functions as a prompt and a notebook show them: `str` is the command's table, HTML the same one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from cnncost.budget.check import Check
from cnncost.budget.compare import Compared
from cnncost.budget.diff import Diff
from cnncost.passes.effective import Effective
from cnncost.report.prediction import Prediction

if TYPE_CHECKING:
    from cnncost.budget.join import Joined
    from cnncost.render.document import Document

_WIDTH = 100
_ROWS = 15
"""Most layers of a prediction's table, as in the terminal."""


class Shown:
    """Has a Document."""

    __slots__ = ()

    def _document(self) -> Document:
        raise NotImplementedError

    def __str__(self) -> str:
        from cnncost.render.text import to_text

        return to_text(self._document(), _WIDTH)

    def to_html(self) -> str:
        """One self-contained page."""
        from cnncost.render.html import to_html

        return to_html(self._page())

    def _page(self) -> Document:
        """The document, with what the program in a page of HTML draws, if it draws anything."""
        return self._document()

    def _repr_html_(self) -> str:
        from cnncost.render.frame import notebook

        return notebook(self._page())


class ShownPrediction(Shown, Prediction):
    """A Prediction."""

    def _document(self) -> Document:
        from cnncost.report.prediction_text import document

        return document(self, top=_ROWS)

    def to_trace(self) -> str:
        """Ops and memory over the predicted time, in the format of traces that Perfetto and chrome://tracing open."""
        return self._viewed("trace")

    def to_speedscope(self) -> str:
        """Predicted seconds, FLOPs and bytes as flame graphs, a file that speedscope.app opens."""
        return self._viewed("speedscope")

    def _viewed(self, form: str) -> str:
        from cnncost.render.formats import viewed
        from cnncost.report.timeline import TIMELINES

        return viewed(TIMELINES[form](self), form)


class ShownDiff(Shown, Diff):
    """A Diff."""

    def _document(self) -> Document:
        from cnncost.budget.render.diff import document

        return document(self, (self.old.model, self.new.model))

    def _page(self) -> Document:
        from cnncost.budget.render.diff_page import page

        return page(self, (self.old.model, self.new.model))


class ShownComparison(Shown, tuple[Compared, ...]):  # noqa: SLOT001  # a tuple can't have slots that hold anything
    """Models side by side: a tuple of a Compared each, with a table, and a page that draws them."""

    joined: Joined | None
    """Columns that were joined."""

    def __new__(cls, rows: Iterable[Compared], joined: Joined | None = None) -> Self:
        """The rows, with what was joined."""
        made = super().__new__(cls, rows)
        made.joined = joined
        return made

    def _document(self) -> Document:
        from cnncost.budget.render.compare import document

        return document(self, self.joined)

    def _page(self) -> Document:
        from cnncost.budget.render.compare_page import page

        return page(self, self.joined)


class ShownCheck(Shown, Check):
    """A Check."""

    __slots__ = ()

    def _document(self) -> Document:
        from cnncost.budget.render.check import document

        return document(self)


class ShownEffective(Shown, Effective):
    """An Effective."""

    __slots__ = ()

    def _document(self) -> Document:
        from cnncost.report.effective_table import document

        return document(self)

    def to_json(self) -> str:
        """Counts, energies in pJ, and the rows, as JSON of the schema of all commands (docs/json.md)."""
        from cnncost.render.json import to_json

        return to_json(self._document())
