"""Error messages for a model whose static analysis and run on real data both failed."""

from __future__ import annotations

import re

from cnncost.errors import CnncostError, DataDependentError, ForwardError, NoShapeError
from cnncost.sources.causes import one_line

_MAX_QUOTED = 200
"""Maximum length of a message quoted within another, in characters."""
BUILT_WITH_WEIGHTS = "built with weights, as it could not be without: "
"""Start of the note on a model that could not be built on the meta device; the reason follows."""


def reason(error: BaseException) -> str:
    """Return the class and the shortened message of another library's error."""
    return _cut(f"{type(error).__name__}: {one_line(error)}")


def brief_message(error: CnncostError) -> str:
    """Return the message of a CnncostError, shortened and without its advice."""
    from cnncost.frontends.torch.diagnose import without_advice

    message = without_advice(str(error.args[0]))
    if isinstance(error, DataDependentError):
        message = _WHY_VALUES.sub(_op_in_brackets, message)
    return _cut(message.split("; ")[0])


def better_error(static: ForwardError, real: CnncostError) -> CnncostError:
    """Return the more informative of the two attempts' errors, whose message then mentions the other.

    This is the static analysis' error, unless the analysis failed because forward needs values and the real run failed
    in forward.
    """
    from cnncost.frontends.torch.diagnose import without_advice

    needs_values = isinstance(static, (DataDependentError, NoShapeError))
    if needs_values and isinstance(real, ForwardError):
        better, other, name = real, brief_message(static), "a static analysis"
    else:
        better, other, name = static, brief_message(real), "a run on values"
    message = without_advice(str(better.args[0]))
    same = brief_message(static) == brief_message(real)
    mention = f"{name} fails in the same way" if same else f"{name} fails as well: {other}"
    better.args = (f"{message}; {mention}", *better.args[1:])
    return better


_WHY_VALUES = re.compile(r"(?<=reads the values of a tensor)(?P<op> \(.*\)), and a static analysis has none", re.DOTALL)
"""Why reading values is an error; omitted in a message on both attempts."""
_MAX_OP_NAME = 50
"""Maximum length of an op's name in brackets, in characters; longer text is a message from torch."""


def _op_in_brackets(match: re.Match[str]) -> str:
    """Return the op's name in brackets; empty if the brackets hold a message from torch."""
    return match["op"] if len(match["op"]) <= _MAX_OP_NAME else ""


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else text[: _MAX_QUOTED - 3] + "..."
