"""Puts the JavaScript program into an interactive page: `page.js` and `page.css`, built from the sources in `page/`.

The page is one self-contained file: its Content-Security-Policy allows its two scripts, by their hashes, and no network
requests. If scripts don't run, or the program fails, the static parts are shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PLACE = '<div id="page"></div>'
"""The element that the program draws in."""
STATIC = "static"
"""CSS class of the parts that are shown if scripts don't run."""
_BEFORE = (
    'document.documentElement.className="scripted";'
    'addEventListener("error",function(){if(!document.querySelector("#page>*"))document.documentElement.className=""});'
)
"""JavaScript that hides the static parts before they are painted, and shows them if the program fails to draw."""


@cache
def built(name: str) -> str:
    """Return the text of `page.js` or `page.css`."""
    return files("cnncost.render").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return a script's hash as a source expression of a Content-Security-Policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def policy(*scripts: str) -> str:
    """Return a Content-Security-Policy that allows these scripts and no network requests."""
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src 'unsafe-inline'; "
        "img-src blob: data:; form-action 'none'; base-uri 'none'"
    )


def in_script(data: Mapping[str, Any]) -> str:
    """Return data as JSON that is safe within a script element: it can't contain `</script>`."""
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c")


def with_program(data: Mapping[str, Any], page: str) -> str:
    """Return an HTML page with the program and its data added; the program draws in `PLACE`."""
    script = built("page.js")
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy(_BEFORE, script)}">\n'
        f"<style>{built('page.css')}</style>\n<script>{_BEFORE}</script>\n</head>"
    )
    body = f'<script type="application/json" id="data">{in_script(data)}</script>\n<script>{script}</script>\n</body>'
    page = page.replace("</head>", head, 1)
    start, end = page.rsplit("</body>", 1)
    return f"{start}{body}{end}"
