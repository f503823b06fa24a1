// The page of several models at two revisions: what changed of each, and one of them as a tree of both.
import { read, type Diffs, type Total } from "./data.ts";
import { diff } from "./diff.ts";
import { h } from "./dom.ts";
import { shown } from "./format.ts";

export function diffs(data: Diffs, place: HTMLElement): void {
  const chosen = h("h2", { class: "path", tabindex: -1 });
  const one = h("div", { class: "one" });
  const buttons = data.models.map((model, i) => h("button", { type: "button", click: () => show(i) }, model.name));

  function show(i: number): void {
    const model = data.models[i]!;
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === i)));
    chosen.textContent = model.name;
    one.replaceChildren();
    diff(model.diff, one);
  }

  const missing = data.missing.length > 0 && h("ul", { class: "warnings" }, ...data.missing.map((text) => h("li", {}, text)));
  place.append(h("div", { class: "cnncost views several" },
    h("section", { class: "view all-models", "aria-labelledby": "models-title" },
      h("h2", { id: "models-title" }, "Models"), missing, overview(data, buttons))), chosen, one);
  if (data.models.length) show(0);
}

/** A row for each model: its figures now, and what changed of them. */
function overview(data: Diffs, buttons: HTMLElement[]): HTMLElement {
  const headings = new Map(data.models.flatMap((model) => model.figures.map((figure) => [figure.name, figure.heading])));
  const cell = (figure: Total | undefined): HTMLElement => {
    if (!figure) return h("td", {});
    const [now, change] = [read(figure.new)!, read(figure.change)!];
    const css = change ? (change > 0 ? "grew" : "shrank") : "soft";
    return h("td", { class: "n", "data-figure": figure.name, title: `before: ${figure.marks.old}${shown(figure.look, read(figure.old)!)}` },
      figure.marks.new + shown(figure.look, now), " ",
      h("span", { class: css }, change ? figure.marks.change + shown(`signed_${figure.look}`, change) : "same"));
  };
  const rows = data.models.map((model, i) => h("tr", {}, h("th", { scope: "row" }, buttons[i]!),
    ...[...headings.keys()].map((name) => cell(model.figures.find((figure) => figure.name === name))),
    h("td", { class: "soft" }, model.same ? "the same, module by module" : "")));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "figures of all models" }, h("table", { class: "totals-table" },
    h("thead", {}, h("tr", {}, h("td", {}), ...[...headings.values()].map((text) => h("th", { scope: "col", class: "n" }, text)), h("td", {}))),
    h("tbody", {}, ...rows)));
}
