// The chosen module: where it is, all its numbers, its ops with their formulas, its time on every device.
import { h, type Child } from "./dom.ts";
import { exact } from "./format.ts";
import { read, type Column, type Op } from "./data.ts";
import type { Model } from "./model.ts";
import type { Store } from "./state.ts";

const OPS = 40;

export function inspector(model: Model, store: Store): HTMLElement {
  const { tree } = model;
  const body = h("div", { class: "inspected" });
  const name = h("h3", { class: "path", "aria-live": "polite" });

  function draw(): void {
    const { row, device } = store.state;
    const { folded } = model;
    const equal = folded?.rows.together[model.toFolded(row)];
    const note = [tree.note(row), equal && `one of ${exact(equal)} equal ones, which the table adds up where they are folded`].filter(Boolean).join(", ");
    const crumbs = tree.above(row).slice(0, -1).map((above) =>
      h("button", { type: "button", click: () => store.set({ row: above }) }, above ? tree.rows.name[above]! : tree.label(0)));
    name.textContent = tree.label(row);
    body.replaceChildren(
      h("nav", { class: "crumbs", "aria-label": "modules above the chosen one" }, ...crumbs),
      name,
      h("p", { class: "soft" }, [tree.text("class", row), note].filter(Boolean).join(", ")),
      h("dl", { class: "numbers" }, ...model.columns.flatMap((column) => pair(column, row, device))),
      ...[...ops(row), onDevices(row)].filter((child): child is Node => child instanceof Node),
    );
  }

  function pair(column: Column, row: number, device: string): HTMLElement[] {
    const text = model.cell(tree, column, row, device);
    if (!text || column.name === "class") return [];
    const value = model.number(tree, column.name, row, device);
    const bytes = column.look === "bytes" && value !== null && value >= 1024;
    return [
      h("div", {}, h("dt", { title: column.meaning }, column.heading),
        h("dd", { "data-column": column.name }, text, bytes && h("span", { class: "soft" }, ` ${exact(value)} B`))),
    ];
  }

  function ops(row: number): Child[] {
    const formulas = model.data.formulas;
    if (!formulas) return [h("p", { class: "soft" }, "Formulas: the report was read from a file, which has none.")];
    let at = row;
    const share = tree.children(row).find((child) => tree.own.has(child));
    if (!formulas.runs[at] && share !== undefined) at = share;
    const runs = formulas.runs[at];
    if (!runs) return [h("h4", {}, "Ops"), h("p", { class: "soft" }, tree.leaf(row) ? "It runs no op itself." : "All ops are run by the modules in it.")];
    const more = runs.length > OPS ? h("p", { class: "soft" }, `and ${runs.length - OPS} further kinds of calls`) : null;
    return [
      h("h4", {}, "Ops that it runs itself"),
      ...runs.slice(0, OPS).map(([op, count]) => formula(formulas.ops[op]!, count, formulas.rules)),
      more,
    ];
  }

  function formula(op: Op, count: number, rules: Record<string, string>): HTMLElement {
    const lines = op.known ? (op.formula?.length ? op.formula.join("\n") : "free: no floating-point operation") : "unknown: no rule for this kind";
    const moved = op.known ? `reads ${exact(read(op.read) ?? 0)} B, writes ${exact(read(op.written) ?? 0)} B` : "";
    return h("div", { class: "op" },
      h("div", {}, h("b", {}, op.name), count > 1 && h("span", { class: "soft" }, ` ${exact(count)}×, each:`)),
      h("div", { class: "soft" }, op.signature),
      h("pre", { class: "formula", tabindex: 0 }, lines),
      moved && h("div", { class: "soft" }, moved),
      rules[op.kind] && h("details", {}, h("summary", {}, "the rule"), h("p", { class: "rule" }, rules[op.kind]!)));
  }

  function onDevices(row: number): Child {
    const profile = tree.rows.profile?.[row];
    if (profile === undefined) return null;
    const listed = model.devices.filter((device) => device.seconds)
      .sort((a, b) => a.seconds![profile]! - b.seconds![profile]!);
    return h("details", { class: "on-devices" }, h("summary", {}, "Predicted time on every device"),
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "device"), h("th", { scope: "col", class: "n" }, "time"), h("th", { scope: "col" }, "bound by"))),
        h("tbody", {}, ...listed.map((device) => h("tr", {}, h("th", { scope: "row" }, device.title),
          h("td", { class: "n" }, model.time(device, profile)), h("td", {}, BOUNDS[device.bounds![profile]!] ?? ""))))));
  }

  store.on(["row", "device"], draw);
  draw();
  return h("section", { class: "view inspector", "aria-labelledby": "inspector-title" },
    h("div", { class: "title" }, h("h2", { id: "inspector-title" }, "The chosen module")), body);
}

export const BOUNDS: Record<string, string> = { c: "compute", m: "memory", l: "launch" };
