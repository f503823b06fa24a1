"""A document in a notebook: a static table, which an iframe with the interactive page replaces if scripts may run.

The iframe is self-contained (style, program and data, compressed), so an output cell also works if it is copied into
another notebook or opened from a file. In an untrusted notebook, the iframe is stripped and the table remains; if
scripts don't run, the iframe keeps its height of 0.
"""

from __future__ import annotations

import base64
import gzip
import html
import json

from cnncost.render.document import MARKUP, Document, Heading, Picture, Table
from cnncost.render.html import around, attribute, escaped, parts_lines, title_lines
from cnncost.render.html_style import FRAGMENT, PAGE
from cnncost.render.program import PLACE, built, in_script, policy

HEIGHT = "30rem"
"""CSS height of the iframe, whatever it shows."""
MOST = 600_000
"""Maximum length of an iframe in characters, so that notebooks stay small; for a larger page, only the static table is
shown."""
_UNPACK = r"""
(async () => {
  const frame = window.frameElement, root = document.documentElement;
  if (!frame) return; // another origin: it has no say in what the notebook shows
  const show = (on) => {
    frame.style.cssText = `display:block;width:100%;border:0;height:${on ? frame.dataset.height : 0}`;
    frame.nextElementSibling.style.display = on ? "none" : "";
  };
  const put = (name, text, type) => {
    const made = document.createElement(name);
    if (type) Object.assign(made, { type, id: "data" });
    made.textContent = text;
    document.body.append(made);
  };
  const channels = (node) => getComputedStyle(node).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  let schemes;
  const dress = () => {
    const dark = Math.max(...channels(frame.parentElement)) > 140;
    root.style.colorScheme = dark ? "dark" : "light";
    let [at, back] = [frame.parentElement, ""];
    for (; at && /^$|transparent|, 0\)$/.test(back); at = at.parentElement) back = getComputedStyle(at).backgroundColor;
    if (!/transparent|, 0\)$/.test(back)) root.style.setProperty("--surface", back);
    schemes ??= [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
      .filter((rule) => /prefers-color-scheme/.test(rule.conditionText));
    for (const rule of schemes) rule.media.mediaText = dark ? "all" : "not all";
  };
  const bytes = Uint8Array.from(atob(document.getElementById("packed").textContent), (each) => each.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const [style, program, data] = await new Response(plain).json();
  root.className = "scripted small";
  put("style", style);
  put("script", data, "application/json");
  dress();
  new MutationObserver(dress).observe(frame.ownerDocument.body, { attributes: true });
  show(true);
  addEventListener("error", () => document.querySelector("#page>*") || show(false));
  put("script", program);
})();
"""
"""JavaScript that unpacks the page, shows the iframe in place of the table, and adopts the notebook's colours.

`dress` takes light text as the sign of a dark theme, copies the nearest background that is not transparent, and
switches the style sheet's rules for the system's colour scheme on or off, because the notebook's theme may differ.
"""


def notebook(document: Document) -> str:
    """Return the document as HTML for a notebook: the static table, preceded by the iframe if there is page data."""
    frame = "" if document.page_data is None else _frame(document)
    plain = "\n".join([*title_lines(document, "h3"), *parts_lines(document.shown(MARKUP), flat=True)])
    body = f'{frame if len(frame) <= MOST else ""}<div class="cnncost">\n{plain}\n</div>'
    return f"<style>{FRAGMENT}</style>\n<div>{body}</div>\n"


def _frame(document: Document) -> str:
    """Return the iframe, with the page as its `srcdoc`."""
    above, below = around(document)
    # "replaces": None means that the JavaScript shows everything below
    shown = [] if (document.page_data or {}).get("replaces") is None else below
    below = [part for part in shown if not isinstance(part, (Table, Heading, Picture))]
    body = "\n".join([*title_lines(document, "h1"), *parts_lines(above), PLACE, *parts_lines(below)])
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(_UNPACK, built("page.js"))}">'
        f"<title>{escaped(document.full_title or document.command)}</title></head>"
        f'<body><main class="cnncost">{body}</main>'
        f'<script type="text/plain" id="packed">{_packed(in_script(document.page_data or {}))}</script>'
        f"<script>{_UNPACK}</script></body></html>"
    )
    title = attribute("title", f"{document.full_title or document.command}, interactive")
    return (
        f'<iframe{title} srcdoc="{html.escape(page)}" data-height="{HEIGHT}" allowfullscreen '
        'style="display:block;width:100%;height:0;border:0"></iframe>'
    )


def _packed(data: str) -> str:
    """Return style, program and data as base64 of gzipped JSON; with `mtime=0`, the text is the same on every run."""
    texts = json.dumps([_style(), built("page.js"), data], ensure_ascii=False)
    return base64.b64encode(gzip.compress(texts.encode(), 9, mtime=0)).decode()


def _style() -> str:
    return FRAGMENT + PAGE + built("page.css")
