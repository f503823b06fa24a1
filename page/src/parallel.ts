// All figures of models as parallel axes: a line for each model. A stretch of an axis that is dragged over keeps its models.
import type { Axis, Comparison } from "./data.ts";
import { h, onWidth, s, tooltip } from "./dom.ts";
import type { Model } from "./model.ts";
import { scaleOf, tickOf } from "./scatter.ts";
import type { Store } from "./state.ts";

const HEIGHT = 300;
const [TOP, BOTTOM] = [34, 22];

export class Parallel {
  readonly element: HTMLElement;
  /** By axis, what is kept: two places on it, in pixels. */
  private readonly stretches = new Map<string, [number, number]>();
  private readonly places = new Map<string, (row: number) => number | null>();
  private readonly svg = s("svg", { role: "img", class: "chart", height: HEIGHT });
  private readonly said = h("span", { class: "soft", role: "status" });
  private readonly all = h("button", { type: "button", disabled: true, click: () => { this.stretches.clear(); this.changed(); } }, "Keep all");
  private readonly axes: Axis[];

  constructor(private readonly model: Model<Comparison>, private readonly store: Store, private readonly narrowed: () => void) {
    const varies = (axis: Axis) => new Set((model.tree.columns[axis.name] ?? []).map(String)).size > 1;
    this.axes = model.data.axes.filter(varies);
    const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "parallel axes" }, this.svg);
    this.element = h("section", { class: "view parallel", "aria-labelledby": "parallel-title" },
      h("div", { class: "title" }, h("h2", { id: "parallel-title" }, "All figures"), this.all, this.said),
      h("p", { class: "soft" }, "A line is a model; lower on an axis is better, where that is known. Drag over a stretch of an axis to keep the models there; click an axis to keep all."),
      scroll);
    store.on(["row"], () => this.mark());
    onWidth(this.element, () => this.draw());
  }

  /** Whether a model is within all stretches. */
  kept(row: number): boolean {
    for (const [name, [low, high]] of this.stretches) {
      const place = this.places.get(name)?.(row);
      if (place === undefined || place === null || place < low || place > high) return false;
    }
    return true;
  }

  private draw(): void {
    const { tree } = this.model;
    const width = Math.max(this.element.clientWidth || 800, 110 * this.axes.length);
    const left = (i: number): number => 60 + (i * (width - 120)) / Math.max(1, this.axes.length - 1);
    this.stretches.clear();
    this.places.clear();
    const drawn = this.axes.map((axis, i) => {
      const size = this.model.sizes(tree, axis.name, "");
      const values = Array.from({ length: tree.size }, (_, row) => size(row)).filter((n): n is number => n !== null);
      const scale = scaleOf(axis, values, axis.better === "more" ? [TOP, HEIGHT - BOTTOM] : [HEIGHT - BOTTOM, TOP]);
      this.places.set(axis.name, (row) => (size(row) === null ? null : scale(size(row)!)));
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return s("g", { class: "axis", "data-axis": axis.name },
        s("line", { x1: left(i), x2: left(i), y1: TOP, y2: HEIGHT - BOTTOM }),
        s("text", { x: left(i), y: 12, "text-anchor": i === this.axes.length - 1 && i > 0 ? "end" : i ? "middle" : "start", dx: i === this.axes.length - 1 && i > 0 ? 50 : i ? 0 : -50, class: "axis-name" }, axis.heading),
        ...[least, most].map((n) => s("text", { x: left(i), y: scale(n) < HEIGHT / 2 ? TOP - 8 : HEIGHT - 4, "text-anchor": "middle" }, tickOf(axis, n))),
        s("rect", { class: "stretch", x: left(i) - 8, width: 16, y: TOP, height: 0 }),
        this.handle(axis, left(i)));
    });
    this.svg.setAttribute("width", String(width));
    this.svg.setAttribute("aria-label", `${this.axes.map((axis) => axis.heading).join(", ")} of ${tree.size} models; the table has the numbers`);
    const lines = Array.from({ length: tree.size }, (_, row) => this.line(row, left));
    this.svg.replaceChildren(...lines, ...drawn);
    this.changed();
  }

  /** A model's line; where it has no value on an axis, it is broken. */
  private line(row: number, left: (i: number) => number): SVGPathElement {
    let path = "";
    let broken = true;
    for (const [i, axis] of this.axes.entries()) {
      const place = this.places.get(axis.name)!(row);
      if (place !== null) path += `${broken ? "M" : "L"}${left(i)},${place}`;
      broken = place === null;
    }
    return s("path", {
      d: path, "data-row": row, class: this.model.tree.rows.biggest.includes(row) ? "model best" : "model",
      click: () => this.store.set({ row }),
      pointermove: (event: PointerEvent) => tooltip(event, h("b", {}, this.model.tree.label(row))),
      pointerleave: () => tooltip(null),
    });
  }

  private handle(axis: Axis, at: number): SVGRectElement {
    let from: number | null = null;
    const place = (event: PointerEvent): number =>
      Math.min(HEIGHT - BOTTOM, Math.max(TOP, event.clientY - this.svg.getBoundingClientRect().top));
    const rect = s("rect", {
      class: "handle", x: at - 14, width: 28, y: TOP, height: HEIGHT - BOTTOM - TOP,
      pointerdown: (event: PointerEvent) => { from = place(event); rect.setPointerCapture(event.pointerId); },
      pointermove: (event: PointerEvent) => {
        if (from === null) return;
        const to = place(event);
        this.stretches.set(axis.name, [Math.min(from, to), Math.max(from, to)]);
        this.changed();
      },
      pointerup: (event: PointerEvent) => {
        if (from !== null && Math.abs(place(event) - from) < 4) this.stretches.delete(axis.name);
        from = null;
        this.changed();
      },
    });
    return rect;
  }

  private changed(): void {
    for (const group of this.svg.querySelectorAll<SVGGElement>("[data-axis]")) {
      const [low, high] = this.stretches.get(group.dataset.axis!) ?? [0, 0];
      const rect = group.querySelector(".stretch")!;
      rect.setAttribute("y", String(low));
      rect.setAttribute("height", String(high - low));
    }
    this.all.disabled = !this.stretches.size;
    const { size } = this.model.tree;
    const count = Array.from({ length: size }, (_, row) => row).filter((row) => this.kept(row)).length;
    this.said.textContent = this.stretches.size ? `${count} of ${size} kept` : "";
    this.mark();
    this.narrowed();
  }

  private mark(): void {
    for (const line of this.svg.querySelectorAll<SVGPathElement>("path")) {
      const row = Number(line.dataset.row);
      line.classList.toggle("chosen", row === this.store.state.row);
      line.classList.toggle("dim", !this.kept(row));
    }
  }
}
