"""Error messages if two attempts at analyzing a model failed."""

from __future__ import annotations

import re

from cnncost.errors import CnncostError, DataDependentError, ForwardError, NoShapeError
from cnncost.sources.causes import one_line

_MOST = 200
"""Maximum characters of a reason quoted within another message."""
BUILT = "built with weights, as it could not be without: "
"""Start of the note about such a model, before the reason."""


def reason(error: BaseException) -> str:
    """Class and shortened message of an external error."""
    return _cut(f"{type(error).__name__}: {one_line(error)}")


def briefly(error: CnncostError) -> str:
    """An error's message, shortened and without its advice."""
    from cnncost.frontends.torch.diagnose import without_advice

    message = without_advice(str(error.args[0]))
    if isinstance(error, DataDependentError):
        message = _SAYS_WHY.sub(_how, message)
    return _cut(message.split("; ")[0])


def of_both(static: ForwardError, real: CnncostError) -> CnncostError:
    """The error to raise if both a static analysis and a run on real data failed: the more informative one, extended.

    If the static one only failed because forward needs values, the error of the run on real data says more.
    """
    from cnncost.frontends.torch.diagnose import without_advice

    ours = isinstance(static, (DataDependentError, NoShapeError))
    if ours and isinstance(real, ForwardError):
        better, other, name = real, briefly(static), "a static analysis"
    else:
        better, other, name = static, briefly(real), "a run on values"
    message = without_advice(str(better.args[0]))
    same = briefly(static) == briefly(real)
    both = f"{name} fails in the same way" if same else f"{name} fails as well: {other}"
    better.args = (f"{message}; {both}", *better.args[1:])
    return better


_SAYS_WHY = re.compile(r"(?<=reads the values of a tensor)(?P<how> \(.*\)), and a static analysis has none", re.DOTALL)
"""In a message on values that are read: how torch says it, and what the reader knows by then."""
_SHORT = 50


def _how(found: re.Match[str]) -> str:
    """The name of an op, but no message of torch's."""
    return found["how"] if len(found["how"]) <= _SHORT else ""


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."
