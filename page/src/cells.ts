// Cells of the treegrid, their headings and widths.
import type { Column, Num, Tabled } from "./data.ts";
import { h } from "./dom.ts";
import { exact } from "./format.ts";
import type { Model } from "./model.ts";
import type { Sorting } from "./order.ts";
import type { State } from "./state.ts";
import type { Tree } from "./tree.ts";

export function headOf(column: Column, sorting: Sorting | null, sized: boolean, sort: () => void): HTMLElement {
  const now = sorting?.column === column.name ? (sorting.descending ? "descending" : "ascending") : "none";
  const arrow = { none: "", ascending: " ▲", descending: " ▼" }[now];
  return h("div", {
    role: "columnheader", class: `cell${column.right ? " n" : ""}${column.name === "module" ? " name" : ""}${sized ? " sized" : ""}`,
    "aria-sort": now, "data-column": column.name,
  }, h("button", { type: "button", title: `${column.meaning}; sorts`, click: sort }, column.heading + arrow));
}

export function cellOf(model: Model<Tabled>, tree: Tree, column: Column, row: number, state: State, flat: boolean): HTMLElement {
  if (column.name === "module") return nameOf(tree, row, flat);
  const text = model.cell(tree, column, row, state.device);
  const value = model.number(tree, column.name, row, state.device);
  const nothing = text === "" || value === 0;
  const cell = h("div", {
    role: "gridcell", class: `cell${column.right ? " n" : ""}${nothing ? " zero" : signOf(column, value)}`, "data-column": column.name,
    title: column.look === "bytes" && value !== null ? `${exact(value)} B` : text.length > 18 ? text : null,
  }, text);
  if (column.name === state.metric && value) {
    const whole = model.sizes(tree, column.name, state.device)(0);
    cell.style.setProperty("--part", `${(100 * Number(value)) / (whole || 1)}%`);
    cell.classList.add("meter");
  }
  return cell;
}

/** The style of a change. */
function signOf(column: Column, value: Num | null): string {
  return column.look.startsWith("signed") && value !== null ? (value > 0 ? " grew" : " shrank") : "";
}

function nameOf(tree: Tree, row: number, flat: boolean): HTMLElement {
  const label = tree.label(row);
  const text = flat || !row ? label : tree.rows.name[row]!;
  const note = tree.note(row, flat);
  const cell = h("div", { role: "rowheader", class: `cell name${tree.leaf(row) ? "" : " parent"}`, title: label },
    tree.leaf(row) || flat ? null : h("span", { class: "twist", "aria-hidden": "true" }),
    text, note && h("span", { class: "note" }, ` ${note}`));
  cell.style.setProperty("--level", String(flat ? 0 : tree.rows.level[row]!));
  return cell;
}

const cached = new WeakMap<Tree, Map<string, number>>();

/** Widths in characters: of the largest number of a column, or its longest text. */
export function widthsOf(model: Model<Tabled>, tree: Tree, columns: Column[], device: string): string {
  const known = cached.get(tree) ?? new Map<string, number>();
  cached.set(tree, known);
  return columns.map((column) => {
    if (column.name === "module") return "minmax(var(--name), 1fr)";
    let width = known.get(column.name);
    if (width === undefined) {
      const texts = tree.rows.texts[column.name]?.texts;
      const longest = texts ? Math.max(0, ...texts.map((text) => text.length)) : widest(model, tree, column, device);
      width = Math.ceil(Math.min(26, 1.2 * Math.max(longest, column.heading.length + 2))) + 2;
      known.set(column.name, width);
    }
    return `${width}ch`;
  }).join(" ");
}

function widest(model: Model<Tabled>, tree: Tree, column: Column, device: string): number {
  if (column.look === "seconds") return 8;
  if (column.look === "bytes") return 9;
  const size = model.sizes(tree, column.name, device);
  let largest = 0;
  for (let row = 1; row < tree.size; row++) if (Math.abs(size(row) ?? 0) > Math.abs(size(largest) ?? 0)) largest = row;
  return model.cell(tree, column, largest, device).length + 1;
}
