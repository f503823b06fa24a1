"""Results of public functions as a prompt and a notebook show them: `str` is the command's table, HTML the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost.budget.check import Check
from cnncost.budget.diff import Diff
from cnncost.passes.effective import Effective
from cnncost.report.prediction import Prediction

if TYPE_CHECKING:
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

    def _repr_html_(self) -> str:
        from cnncost.render.html import fragment

        return fragment(self._document())


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
        from cnncost.render.viewers import viewed
        from cnncost.report.timeline import TIMELINES

        return viewed(TIMELINES[form](self), form)


class ShownDiff(Shown, Diff):
    """A Diff."""

    def _document(self) -> Document:
        from cnncost.budget.render.diff import document

        return document(self, (self.old.model, self.new.model))

    def to_html(self) -> str:
        """One self-contained page of both models as one tree, coloured by what changed."""
        from cnncost.budget.render.diff_page import page
        from cnncost.render.html import to_html

        return to_html(page(self, (self.old.model, self.new.model)))


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
