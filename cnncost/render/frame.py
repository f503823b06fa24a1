"""A document in a notebook: a plain table, and, where scripts run, its interactive page in a frame in place of it.

The frame holds all that it needs, compressed: a cell that is run alone, copied into another notebook, or opened from a
file is drawn without any other one. What a notebook strips of an output that it does not trust is the frame, so that
the table is left; scripts that do not run leave the frame as it is, without height.
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
"""Of the frame, whatever it shows."""
MOST = 600_000
"""Characters of a frame; what needs more is shown as the plain table alone, so that notebooks stay small."""
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
"""Unpacks the page, shows the frame in place of the table after it, and takes colours from the notebook."""


def notebook(document: Document) -> str:
    """The document for a notebook: the plain table, with its frame before it if it has a program."""
    frame = "" if document.program is None else _frame(document)
    plain = "\n".join([*title_lines(document, "h3"), *parts_lines(document.shown(MARKUP), flat=True)])
    body = f'{frame if len(frame) <= MOST else ""}<div class="cnncost">\n{plain}\n</div>'
    return f"<style>{FRAGMENT}</style>\n<div>{body}</div>\n"


def _frame(document: Document) -> str:
    above, below = around(document)
    shown = [] if (document.program or {}).get("replaces") is None else below  # None: the program shows it all
    kept = [part for part in shown if not isinstance(part, (Table, Heading, Picture))]
    body = "\n".join([*title_lines(document, "h1"), *parts_lines(above), PLACE, *parts_lines(kept)])
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(_UNPACK, built("page.js"))}">'
        f"<title>{escaped(document.full_title or document.command)}</title></head>"
        f'<body><main class="cnncost">{body}</main>'
        f'<script type="text/plain" id="packed">{_packed(in_script(document.program or {}))}</script>'
        f"<script>{_UNPACK}</script></body></html>"
    )
    title = attribute("title", f"{document.full_title or document.command}, interactive")
    return (
        f'<iframe{title} srcdoc="{html.escape(page)}" data-height="{HEIGHT}" allowfullscreen '
        'style="display:block;width:100%;height:0;border:0"></iframe>'
    )


def _packed(data: str) -> str:
    texts = json.dumps([_style(), built("page.js"), data], ensure_ascii=False)
    return base64.b64encode(gzip.compress(texts.encode(), 9, mtime=0)).decode()


def _style() -> str:
    return FRAGMENT + PAGE + built("page.css")
