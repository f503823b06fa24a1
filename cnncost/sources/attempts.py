"""Two ways that a model was tried, and what is to be said of both."""

from __future__ import annotations

from cnncost.errors import CnncostError, DataDependentError, ForwardError, NoShapeError
from cnncost.sources.causes import one_line

_MOST = 200
"""Signs of a reason that stands beside another text."""
BUILT = "built with weights, as it could not be without: "
"""What is said of such a model, before the reason."""


def reason(error: BaseException) -> str:
    """Kind and first words of an error that came from outside."""
    return _cut(f"{type(error).__name__}: {one_line(error)}")


def briefly(error: CnncostError) -> str:
    """What an error says, without its advice."""
    from cnncost.frontends.torch.diagnose import without_advice

    return _cut(without_advice(str(error.args[0])).split("; ")[0])


def of_both(static: ForwardError, real: CnncostError) -> CnncostError:
    """The error to raise where a static analysis and a run on values failed: what says more, and that both did.

    That forward can't be followed without values is no fault of the model's: then the run on values tells more.
    """
    from cnncost.frontends.torch.diagnose import without_advice

    ours = isinstance(static, (DataDependentError, NoShapeError))
    if ours and isinstance(real, ForwardError):
        better, other, name = real, briefly(static), "a static analysis"
    else:
        better, other, name = static, briefly(real), "a run on values"
    said = without_advice(str(better.args[0]))
    same = briefly(static) == briefly(real)
    both = f"{name} fails in the same way" if same else f"{name} fails as well: {other}"
    better.args = (f"{said}; {both}", *better.args[1:])
    return better


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
