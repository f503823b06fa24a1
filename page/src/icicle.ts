// Modules as bands, each as wide as its share, what is in it below. Only what is wide enough to see is laid out.
import type { Tabled } from "./data.ts";
import { h, onWidth, tooltip } from "./dom.ts";
import type { Model } from "./model.ts";
import type { Store } from "./state.ts";
import type { Tree } from "./tree.ts";

const LEAST = 1.5;
const HEIGHT = 24;

export interface Band {
  /** The row; of a band of several that are too narrow, the first. */
  row: number;
  level: number;
  x: number;
  width: number;
  /** How many rows it stands for. */
  count: number;
}

/** Bands of a row and all in it that are at least `LEAST` wide; narrower neighbours are one band. */
export function bands(tree: Tree, root: number, size: (row: number) => number | null, width: number): Band[] {
  const found: Band[] = [];
  const place = (row: number, level: number, x: number, across: number): void => {
    found.push({ row, level, x, width: across, count: 1 });
    const whole = size(row) ?? 0;
    if (!whole) return;
    let [left, narrow]: [number, Band | null] = [x, null];
    for (let child = row + 1; child < tree.end[row]!; child = tree.end[child]!) {
      const wide = ((size(child) ?? 0) / whole) * across;
      if (wide >= LEAST) {
        narrow = null;
        place(child, level + 1, left, wide);
      } else if (wide > 0) {
        if (narrow && narrow.width < 3 * LEAST) {
          narrow.width = left + wide - narrow.x;
          narrow.count++;
        } else found.push((narrow = { row: child, level: level + 1, x: left, width: wide, count: 1 }));
      }
      left += wide;
    }
  };
  place(root, 0, 0, width);
  return found.filter((band) => band.width >= LEAST / 3);
}

export function icicle(model: Model<Tabled>, store: Store, title = "Where it goes"): HTMLElement {
  const { tree } = model;
  let root = 0;
  const box = h("div", {
    class: "bands", role: "tree", tabindex: 0, "aria-label": `${title}: each module is a band as wide as its share`,
    keydown: (event: KeyboardEvent) => key(event),
  });
  const crumbs = h("nav", { class: "crumbs", "aria-label": "modules above what is shown" });
  const zoom = h("button", { type: "button", click: () => enter(store.state.row) }, "Zoom to the chosen module");
  let drawn: Band[] = [];

  function enter(row: number): void {
    root = tree.leaf(row) && row ? tree.parent[row]! : row;
    draw();
  }

  function draw(): void {
    const { metric, device } = store.state;
    const size = model.sizes(tree, metric, device);
    drawn = bands(tree, root, size, box.clientWidth || 800);
    const deepest = drawn.reduce((most, band) => Math.max(most, band.level), 0);
    box.style.height = `${(deepest + 1) * HEIGHT}px`;
    const about = model.metrics.find((each) => each.name === metric)!;
    box.replaceChildren(...drawn.map((band, i) => one(band, i)));
    box.setAttribute("role", size(root) ? "tree" : "group");
    if (!size(root)) box.replaceChildren(h("p", { class: "soft" }, `${tree.label(root)} has no ${about.heading}`));
    crumbs.replaceChildren(...(root ? tree.above(root) : []).map((row) =>
      h("button", { type: "button", "aria-current": row === root && "location", click: () => enter(row) },
        row ? tree.rows.name[row]! : tree.label(0))));
    mark();
  }

  function one(band: Band, i: number): HTMLElement {
    const css = `band ${model.css(band.row)}${band.count > 1 ? " many" : ""}`;
    const whole = band.row ? tree.rows.name[band.row]! : tree.label(0);
    const name = band.count === 1 && band.width > Math.min(62, 9 + 6.4 * whole.length) ? whole : "";
    const element = h("div", { class: css, "data-band": i, id: `band-${i}`, role: "treeitem", "aria-level": band.level + 1, "aria-label": plain(band) }, name);
    element.style.cssText = `left:${band.x}px;top:${band.level * HEIGHT}px;width:${Math.max(1, band.width - 0.6)}px`;
    return element;
  }

  /** What a screen reader says of a band, of which `row` is chosen. */
  function said(band: Band, row: number): string {
    const { metric, device } = store.state;
    const about = model.metrics.find((each) => each.name === metric)!;
    return `${band.count > 1 || band.row !== row ? "too narrow to be drawn, " : ""}${[tree.label(row), ...model.told(row, about, device)].filter(Boolean).join(", ")}`;
  }

  /** The band that shows a row: its own, that of neighbours that are too narrow, or that of what it is in. */
  function bandOf(row: number): number {
    for (const above of tree.above(row).reverse()) {
      const at = drawn.findIndex((band) => band.row === above && band.count === 1);
      if (at >= 0) return at;
      const several = drawn.findLastIndex((band) => band.count > 1 && band.row <= above && tree.parent[band.row] === tree.parent[above]);
      if (several >= 0) return several;
    }
    return -1;
  }

  function plain(band: Band): string {
    return band.count > 1 ? `${band.count} modules from ${tree.label(band.row)} on` : tree.label(band.row);
  }

  function mark(): void {
    const chosen = store.state.row;
    const active = bandOf(chosen);
    const before = box.querySelector<HTMLElement>(".active");
    before?.classList.remove("active");
    before?.setAttribute("aria-label", plain(drawn[Number(before.dataset.band)]!));
    if (active >= 0) {
      const element = box.children[active]!;
      element.classList.add("active");
      element.setAttribute("aria-label", said(drawn[active]!, chosen));
      box.setAttribute("aria-activedescendant", element.id);
    } else box.removeAttribute("aria-activedescendant");
    for (const [i, band] of drawn.entries()) {
      const element = box.children[i];
      element?.classList.toggle("chosen", band.row === chosen && band.count === 1);
      element?.classList.toggle("inside", chosen > 0 && tree.within(band.row, chosen));
      element?.setAttribute("aria-selected", String(i === active && band.row === chosen));
    }
    zoom.disabled = (tree.leaf(chosen) && chosen > 0 ? tree.parent[chosen] : chosen) === root;
  }

  /** Arrows go to what a module is in, the first in it, and those beside it that have a band; Enter and Escape zoom. */
  function key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { row, metric, device } = store.state;
    const size = model.sizes(tree, metric, device);
    const seen = (rows: number[]) => rows.filter((each) => size(each));
    const beside = row > 0 ? seen(tree.children(tree.parent[row]!)) : [row];
    const moves: Record<string, () => number | undefined> = {
      ArrowUp: () => (row === root ? undefined : tree.parent[row]), ArrowDown: () => seen(tree.children(row))[0],
      ArrowRight: () => beside.find((each) => each > row), ArrowLeft: () => beside.findLast((each) => each < row),
      Home: () => beside[0], End: () => beside[beside.length - 1],
    };
    if (!["Enter", "Escape", "Home", "End"].includes(event.key) && !event.key.startsWith("Arrow")) return;
    if (!tree.within(row, root)) store.set({ row: root });
    else if (event.key === "Enter") enter(row);
    else if (event.key === "Escape" && root) enter(tree.parent[root]!);
    else {
      const move = moves[event.key];
      if (!move) return;
      const to = row > 0 && row === root && event.key !== "ArrowDown" ? undefined : move();
      if (to !== undefined) store.set({ row: to });
    }
    event.preventDefault();
  }

  function hit(event: Event): Band | undefined {
    const at = (event.target as Element).closest<HTMLElement>("[data-band]");
    return at ? drawn[Number(at.dataset.band)] : undefined;
  }

  box.addEventListener("click", (event) => {
    const band = hit(event);
    if (band) store.set({ row: band.row });
  });
  box.addEventListener("dblclick", (event) => {
    const band = hit(event);
    if (band) enter(band.row);
  });
  box.addEventListener("pointermove", (event) => {
    const band = hit(event);
    if (!band) return tooltip(null);
    const { metric, device } = store.state;
    const about = model.metrics.find((each) => each.name === metric)!;
    if (band.count > 1) return tooltip(event, h("b", {}, plain(band)));
    const [soft, figure] = model.told(band.row, about, device);
    tooltip(event, h("b", {}, tree.label(band.row)), h("div", { class: "soft" }, soft), h("div", {}, figure));
  });
  box.addEventListener("pointerleave", () => tooltip(null));
  store.on(["metric", "device"], draw);
  store.on(["row"], mark);
  onWidth(box, draw);

  const legend = h("ul", { class: "legend" },
    ...model.legend().map(([css, text]) => h("li", {}, h("span", { class: `swatch ${css}` }), text)));
  return h("section", { class: "view icicle", "aria-labelledby": "icicle-title" },
    h("div", { class: "title" }, h("h2", { id: "icicle-title" }, title), crumbs, zoom),
    h("p", { class: "sr" }, "The table of modules has the same numbers. Arrow keys choose the module around, within and beside; Enter zooms in, Escape out."),
    box, legend);
}
