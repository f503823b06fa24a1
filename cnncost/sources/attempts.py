"""Error messages for a model whose static analysis and run on real data both failed."""

from __future__ import annotations

import re

from cnncost.errors import CnncostError, DataDependentError, ForwardError, NoShapeError
from cnncost.sources.causes import one_line

_MAX_QUOTED = 200
"""Most characters of a message quoted within another."""
BUILT = "built with weights, as it could not be without: "
"""Start of the note on a model that could not be built on the meta device; the reason follows."""


def reason(error: BaseException) -> str:
    """Return the class and the shortened message of another library's error."""
    return _cut(f"{type(error).__name__}: {one_line(error)}")


def briefly(error: CnncostError) -> str:
    """Return the message of one of our errors, shortened and without its advice."""
    from cnncost.frontends.torch.diagnose import without_advice

    message = without_advice(str(error.args[0]))
    if isinstance(error, DataDependentError):
        message = _SAYS_WHY.sub(_op_in_brackets, message)
    return _cut(message.split("; ")[0])


def of_both(static: ForwardError, real: CnncostError) -> CnncostError:
    """Return the more informative of two errors, with a mention of the other in its message.

    That is the static analysis' error, unless it only failed because forward needs values.
    """
    from cnncost.frontends.torch.diagnose import without_advice

    needs_values = isinstance(static, (DataDependentError, NoShapeError))
    if needs_values and isinstance(real, ForwardError):
        better, other, name = real, briefly(static), "a static analysis"
    else:
        better, other, name = static, briefly(real), "a run on values"
    message = without_advice(str(better.args[0]))
    same = briefly(static) == briefly(real)
    both = f"{name} fails in the same way" if same else f"{name} fails as well: {other}"
    better.args = (f"{message}; {both}", *better.args[1:])
    return better


_SAYS_WHY = re.compile(r"(?<=reads the values of a tensor)(?P<how> \(.*\)), and a static analysis has none", re.DOTALL)
"""The part of a message on values that forward reads that needn't stand in a message on both attempts."""
_SHORT = 50
"""Most characters of the name of an op, in brackets; longer text is a message of torch's."""


def _op_in_brackets(found: re.Match[str]) -> str:
    """Return the op's name in brackets; empty if the brackets hold a message of torch's."""
    return found["how"] if len(found["how"]) <= _SHORT else ""


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 3] + "..."
