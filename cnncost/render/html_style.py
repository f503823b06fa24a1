"""The style sheet of the HTML report.

The fragment inherits colours, so it works in light and dark notebook themes; the page sets its own, following the
system's colour scheme.
"""

FRAGMENT = """
.cnncost { --accent: #2f6fdb; --big: #c2410c; --line: rgba(128,128,128,.28); --hover: rgba(128,128,128,.10);
  font: 13.5px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: inherit; }
@media (prefers-color-scheme: dark) { .cnncost { --accent: #6ea2ff; --big: #ff9d5c; } }
.cnncost * { box-sizing: border-box; }
.cnncost h1 { font-size: 1.5rem; margin: 0 0 .2rem; }
.cnncost h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.cnncost p, .cnncost ul { margin: .2rem 0; }
.cnncost ul { padding-left: 1.2rem; }
.cnncost .soft { opacity: .68; }
.cnncost .totals { display: flex; flex-wrap: wrap; gap: .6rem 2.4rem; margin: 1rem 0; }
.cnncost .totals div { display: flex; flex-direction: column; }
.cnncost .totals b { font-size: 1.45rem; font-weight: 650; line-height: 1.2; }
.cnncost .unknown { border-left: 4px solid var(--big); padding: .3rem .8rem; margin: 1rem 0; background: var(--hover); }
.cnncost .scroll { overflow-x: auto; }
.cnncost .tree { width: max-content; max-width: 100%; min-width: min-content; font-variant-numeric: tabular-nums; }
.cnncost .row { display: grid; grid-template-columns: var(--columns); column-gap: .9rem; align-items: center;
  padding: .16rem .5rem; border-bottom: 1px solid var(--line); }
.cnncost .row > * { white-space: nowrap; }
.cnncost .row:hover { background: var(--hover); }
.cnncost .head, .cnncost thead th { border-bottom: 2px solid var(--line); }
.cnncost .foot { border-bottom: 0; border-top: 2px solid var(--line); }
.cnncost .head > *, .cnncost .foot > *, .cnncost thead th { font-weight: 650; }
.cnncost .name { padding-left: calc(var(--level, 0) * 1.15rem + 1rem); position: relative;
  overflow: hidden; text-overflow: ellipsis; }
.cnncost summary { list-style: none; cursor: pointer; }
.cnncost summary::-webkit-details-marker { display: none; }
.cnncost summary .name { font-weight: 600; }
.cnncost summary .name::before { content: ""; position: absolute; left: calc(var(--level, 0) * 1.15rem); top: .42em;
  border: .3em solid transparent; border-left: .42em solid currentColor; opacity: .55; transform-origin: .2em 50%; }
.cnncost details[open] > summary .name::before { transform: rotate(90deg); }
.cnncost .n { text-align: right; }
.cnncost .zero, .cnncost .note { opacity: .64; }
.cnncost .note { font-weight: 400; font-style: italic; }
.cnncost .class { opacity: .75; overflow: hidden; text-overflow: ellipsis; }
.cnncost .share { display: grid; grid-template-columns: 3rem 1fr; gap: .5rem; align-items: center; }
.cnncost .bar { display: block; height: .62em; width: var(--part, 0%); background: var(--accent); border-radius: 1px; }
.cnncost summary .bar { opacity: .45; }
.cnncost .big { background: color-mix(in srgb, var(--big) 13%, transparent); }
.cnncost .big .name, .cnncost tr.big th { color: var(--big); font-weight: 700; }
.cnncost .big .bar { background: var(--big); opacity: 1; }
.cnncost table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.cnncost th, .cnncost td { padding: .16rem .6rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); background: none; }
.cnncost td.wrap { white-space: normal; max-width: 48rem; }
.cnncost td.wrap:last-child { min-width: 18rem; }
.cnncost tbody th { font-weight: 400; }
.cnncost tfoot td, .cnncost tfoot th { font-weight: 650; border-top: 2px solid var(--line); border-bottom: 0; }
.cnncost td.n, .cnncost th.n { text-align: right; }
@media (max-width: 1400px) {
  .cnncost .row { column-gap: .5rem; }
  .cnncost th, .cnncost td { padding: .16rem .35rem; }
}
"""

PAGE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 2rem clamp(1rem, 2vw, 3rem) 4rem; background: #fff; color: #1b1f24; }
@media (prefers-color-scheme: dark) { body { background: #14171b; color: #e6e8eb; } }
@media print {
  body { padding: .6rem; }
  .cnncost { font-size: 11px; }
  .cnncost .scroll { overflow: visible; }
  .cnncost th, .cnncost td { white-space: normal; padding: .12rem .35rem; overflow-wrap: break-word; }
  .cnncost td.n, .cnncost th.n { white-space: nowrap; }
  .cnncost td.wrap:last-child { min-width: 9rem; }
}
"""
