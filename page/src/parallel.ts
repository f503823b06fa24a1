// All figures of models as parallel axes: a line for each model. A stretch of an axis that is dragged over keeps its models.
import type { Axis, Comparison } from "./data.ts";
import { h, onWidth, picture, s, tooltip } from "./dom.ts";
import { exact } from "./format.ts";
import type { Model } from "./model.ts";
import { extent, scaleOf, tickOf } from "./scatter.ts";
import type { Store } from "./state.ts";

const HEIGHT = 300;
const [TOP, BOTTOM] = [34, 22];
/** Lines that are drawn at once: of more models, those on the front, and others evenly. */
const LINES = 500;

export class Parallel {
  readonly element: HTMLElement;
  /** By axis, what is kept: two places on it, in pixels. */
  private readonly stretches = new Map<string, [number, number]>();
  /** By axis, where each model is on it, in pixels; NaN if it has no value. */
  private readonly places = new Map<string, Float64Array>();
  private readonly lines = s("g", {});
  private left: (i: number) => number = () => 0;
  private readonly svg = s("svg", { class: "chart", height: HEIGHT });
  private readonly said = h("span", { class: "soft", role: "status" });
  private readonly all = h("button", { type: "button", disabled: true, click: () => { this.stretches.clear(); this.changed(); } }, "Keep all");
  private readonly axes: Axis[];
  private readonly best: Set<number>;

  constructor(private readonly model: Model<Comparison>, private readonly store: Store, private readonly narrowed: () => void) {
    this.best = new Set(model.tree.rows.biggest);
    const varies = (axis: Axis) => new Set((model.tree.columns[axis.name] ?? []).map(String)).size > 1;
    this.axes = model.data.axes.filter(varies);
    const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "parallel axes" }, this.svg);
    this.element = h("section", { class: "view parallel", "aria-labelledby": "parallel-title" },
      h("div", { class: "title" }, h("h2", { id: "parallel-title" }, "All figures"), this.all, this.said),
      h("p", { class: "soft" }, "A line is a model; lower on an axis is better, where that is known. Drag over a stretch of an axis to keep the models there; click an axis to keep all."),
      scroll);
    const rowOf = (event: Event): number => Number((event.target as SVGElement).dataset.row);
    this.lines.addEventListener("click", (event) => store.set({ row: rowOf(event) }));
    this.lines.addEventListener("pointermove", (event) => tooltip(event, h("b", {}, model.tree.label(rowOf(event)))));
    this.lines.addEventListener("pointerout", () => tooltip(null));
    store.on(["row"], () => this.mark());
    onWidth(this.element, () => this.draw());
  }

  /** Whether a model is within all stretches. */
  kept(row: number): boolean {
    for (const [name, [low, high]] of this.stretches) {
      const place = this.places.get(name)?.[row] ?? NaN;
      if (!(place >= low && place <= high)) return false;
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
      this.places.set(axis.name, Float64Array.from({ length: tree.size }, (_, row) => scale(size(row) ?? NaN)));
      const [least, most] = extent(values);
      return s("g", { class: "axis", "data-axis": axis.name },
        s("line", { x1: left(i), x2: left(i), y1: TOP, y2: HEIGHT - BOTTOM }),
        s("text", { x: left(i), y: 12, "text-anchor": i === this.axes.length - 1 && i > 0 ? "end" : i ? "middle" : "start", dx: i === this.axes.length - 1 && i > 0 ? 50 : i ? 0 : -50, class: "axis-name" }, axis.heading),
        ...[least, most].map((n) => s("text", { x: left(i), y: scale(n) < HEIGHT / 2 ? TOP - 8 : HEIGHT - 4, "text-anchor": "middle" }, tickOf(axis, n))),
        s("rect", { class: "stretch", x: left(i) - 8, width: 16, y: TOP, height: 0 }),
        this.handle(axis, left(i)));
    });
    this.svg.setAttribute("width", String(width));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    picture(this.svg, `${this.axes.map((axis) => axis.heading).join(", ")} of ${tree.size} models; the table has the numbers`);
    this.left = left;
    this.svg.replaceChildren(this.lines, ...drawn);
    this.lines.replaceChildren(...(tree.size > LINES ? [] : this.rows()).map((row) => this.line(row)));
    this.changed();
  }

  private rows(): number[] {
    return Array.from({ length: this.model.tree.size }, (_, row) => row);
  }

  /** Of many models, those of a front, and others evenly. */
  private few(rows: number[]): number[] {
    const step = Math.ceil(rows.length / LINES);
    return step <= 1 ? rows : rows.filter((row, i) => i % step === 0 || this.best.has(row));
  }

  /** A model's line; where it has no value on an axis, it is broken. */
  private line(row: number): SVGPathElement {
    let path = "";
    let broken = true;
    for (const [i, axis] of this.axes.entries()) {
      const place = this.places.get(axis.name)![row]!;
      if (!Number.isNaN(place)) path += `${broken ? "M" : "L"}${this.left(i)},${place}`;
      broken = Number.isNaN(place);
    }
    return s("path", {
      d: path, "data-row": row, class: this.best.has(row) ? "model best" : "model",
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
    const kept = this.rows().filter((row) => this.kept(row));
    const count = kept.length;
    const few = size > LINES;
    if (few) this.lines.replaceChildren(...this.few(kept).map((row) => this.line(row)));
    this.said.textContent = (this.stretches.size ? `${exact(count)} of ${exact(size)} kept` : "") +
      (few && this.lines.childElementCount < count ? `${this.stretches.size ? ", " : ""}lines of ${exact(this.lines.childElementCount)} are drawn` : "");
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
