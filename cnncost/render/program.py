"""The program of an interactive page: `page.js` and `page.css`, which are built from the sources in `page/`.

The page stays one file that asks nobody for anything: its security policy allows the two scripts in it, by their
hashes, and no request at all. Without scripts, or where the program fails, the static parts are shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PLACE, STATIC = '<div id="page"></div>', "static"
"""Where the program draws, and the class of what is shown in its place without scripts."""
_BEFORE = (
    'document.documentElement.className="scripted";'
    'addEventListener("error",function(){if(!document.querySelector("#page>*"))document.documentElement.className=""});'
)
"""Hides the static parts before they are painted; shows them again if the program fails before it has drawn."""


@cache
def built(name: str) -> str:
    """The text of `page.js` or `page.css`."""
    return files("cnncost.render").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def policy(*scripts: str) -> str:
    """A security policy that allows these scripts and no request."""
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src 'unsafe-inline'; "
        "img-src blob: data:; form-action 'none'; base-uri 'none'"
    )


def in_script(data: Mapping[str, Any]) -> str:
    """Data as the text of a script element."""
    plain = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c")


def with_program(data: Mapping[str, Any], page: str) -> str:
    """A page with the program and its data, which draw in `PLACE`."""
    script = built("page.js")
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy(_BEFORE, script)}">\n'
        f"<style>{built('page.css')}</style>\n<script>{_BEFORE}</script>\n</head>"
    )
    body = f'<script type="application/json" id="data">{in_script(data)}</script>\n<script>{script}</script>\n</body>'
    page = page.replace("</head>", head, 1)
    start, end = page.rsplit("</body>", 1)
    return f"{start}{body}{end}"
