// Memory over time, stacked by use. A moment is chosen by pointing, or by the slider below: which op runs, who holds what.
import { scaleLinear } from "d3-scale";
import { area, curveStepAfter } from "d3-shape";
import { axisX, axisY, frameOf } from "./axes.ts";
import { read, type Num, type Run } from "./data.ts";
import { h, onWidth, picture, s, select, type Child } from "./dom.ts";
import { data, exact } from "./format.ts";
import type { Model } from "./model.ts";
import type { Store } from "./state.ts";
import { expanded, heldAt, moments } from "./timeline.ts";

const [MADE, THERE] = [7, 4];
const MOST = 1600;

export function memory(model: Model, store: Store): HTMLElement {
  const { runs, why } = model.data.memory;
  const title = h("h2", { id: "memory-title" }, "Memory over time");
  const section = h("section", { class: "view memory", "aria-labelledby": "memory-title" }, h("div", { class: "title" }, title));
  if (!runs.length) {
    section.append(h("p", { class: "soft" }, why));
    return section;
  }
  const charts = new Map<string, HTMLElement>();
  const place = h("div", {});
  const show = (name: string): void => {
    const chart = charts.get(name) ?? new Chart(runs.find((run) => run.name === name)!, model, store).element;
    charts.set(name, chart);
    place.replaceChildren(chart);
  };
  if (runs.length > 1) {
    const options = new Map([["", runs.map((run) => ({ value: run.name, text: run.name }))]]);
    section.firstElementChild!.append(select("Run", options, runs[0]!.name, show));
  }
  section.append(place);
  show(runs[0]!.name);
  return section;
}

class Chart {
  readonly element: HTMLElement;
  private readonly uses: { name: string; index: number; values: Num[] }[];
  private readonly total: Num[];
  private moment: number;
  private readonly slider: HTMLInputElement;
  private readonly svg = s("svg");
  private readonly told = h("div", { class: "told" });
  private cursor: SVGLineElement | null = null;
  private x = scaleLinear();

  constructor(private readonly run: Run, private readonly model: Model, private readonly store: Store) {
    this.total = expanded(run.total, run.nodes);
    this.uses = Object.entries(run.uses).map(([name, changes]) => ({
      name, index: run.use_names.indexOf(name), values: expanded(changes, run.nodes),
    }));
    this.moment = run.peak_at ?? 0;
    this.slider = h("input", {
      type: "range", min: 0, max: Math.max(0, run.nodes - 1), value: this.moment, "aria-label": "op of the run",
      input: () => this.at(Number(this.slider.value)),
    });
    const bound = run.unseen.length ? `≥ lower bounds: what ${run.unseen.join(", ")} allocate while they run is not known. ` : "";
    const mark = run.unseen.length ? "≥" : "";
    this.element = h("div", {},
      h("p", { class: "soft" }, bound, `Bytes of tensors that are alive while each op runs. Peak ${mark}${data(read(run.peak)!)}; ` +
        `${mark}${data(read(run.ideal_peak)!)} if each were freed after its last use.`),
      h("ul", { class: "legend" }, ...this.uses.map((use) => h("li", {}, h("span", { class: `swatch u${use.index}` }), use.name))),
      this.svg, h("div", { class: "steps" },
        h("button", { type: "button", click: () => this.at(this.run.peak_at ?? 0) }, "Peak"), this.slider),
      this.told);
    this.svg.addEventListener("pointermove", (event) => this.at(this.under(event)));
    this.svg.addEventListener("click", (event) => {
      this.at(this.under(event));
      this.store.set({ row: this.run.rows[this.moment] ?? 0 });
    });
    store.on(["row"], () => this.shade());
    onWidth(this.element, () => this.draw());
    this.tell();
  }

  private under(event: MouseEvent): number {
    const moment = Math.floor(this.x.invert(event.clientX - this.svg.getBoundingClientRect().left));
    return Math.min(this.run.nodes - 1, Math.max(0, moment));
  }

  private draw(): void {
    const { run, total } = this;
    const frame = frameOf(this.element.clientWidth, Math.min(420, Math.max(220, this.element.clientWidth * 0.36)));
    const most = Number(read(run.peak)!);
    this.x = scaleLinear([0, Math.max(1, run.nodes)], [frame.left, frame.width - frame.right]);
    const y = scaleLinear([0, most * 1.04 || 1], [frame.height - frame.bottom, frame.top]);
    const picked = moments(total, 0, run.nodes, Math.min(MOST, 2 * frame.width));
    const points = picked.map((moment, i) => ({ x: i && picked.length < run.nodes ? (i * run.nodes) / picked.length : moment, moment }));
    points.push({ x: run.nodes, moment: picked[picked.length - 1] ?? 0 });
    const base = new Float64Array(points.length);
    const layers = this.uses.map((use) => {
      const heights = points.map(({ moment }) => Number(use.values[moment] ?? 0));
      const path = area<number>().curve(curveStepAfter)
        .x((i) => this.x(points[i]!.x)).y0((i) => y(base[i]!)).y1((i) => y(base[i]! + heights[i]!))(points.map((_, i) => i));
      heights.forEach((height, i) => (base[i]! += height));
      return s("path", { class: `use u${use.index}`, d: path });
    });
    const unit = unitOf(most);
    const ticks = scaleLinear([0, most / unit], [0, 1]).ticks(5).map((n): [number, string] => [y(n * unit), n ? data(n * unit) : "0"]);
    const ideal = Number(read(run.ideal_peak)!);
    this.svg.setAttribute("width", String(frame.width));
    this.svg.setAttribute("height", String(frame.height));
    this.svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    picture(this.svg, `bytes alive at each of ${run.nodes} ops, by use; the slider below tells them`);
    this.cursor = s("line", { class: "cursor", y1: frame.top, y2: frame.height - frame.bottom });
    this.svg.replaceChildren(
      axisY(frame, ticks), s("g", { class: "shade" }), ...layers,
      s("line", { class: "ideal", x1: frame.left, x2: frame.width - frame.right, y1: y(ideal), y2: y(ideal) }),
      ...Object.entries(run.phases).filter(([, first]) => first > 0).map(([name, first]) => s("g", { class: "phase" },
        s("line", { x1: this.x(first), x2: this.x(first), y1: frame.top, y2: frame.height - frame.bottom }),
        s("text", { x: this.x(first) + 4, y: frame.top + 10 }, name))),
      axisX(frame, this.x.ticks(Math.max(2, frame.width / 110)).filter(Number.isInteger).map((n) => [this.x(n), exact(n)]), "ops, in the order in which they run"),
      this.cursor);
    this.place();
    this.shade();
  }

  /** Where the chosen module runs. */
  private shade(): void {
    const shade = this.svg.querySelector(".shade");
    if (!shade) return;
    const { row } = this.store.state;
    const { tree } = this.model;
    const bars: Child[] = [];
    const height = Number(this.svg.getAttribute("height"));
    for (let i = 0; row > 0 && i < this.run.nodes; i++) {
      if (!tree.within(this.run.rows[i]!, row)) continue;
      let end = i + 1;
      while (end < this.run.nodes && tree.within(this.run.rows[end]!, row)) end++;
      bars.push(s("rect", { x: this.x(i), width: Math.max(1, this.x(end) - this.x(i)), y: height - 34, height: 4 }));
      i = end;
      if (bars.length > 500) break;
    }
    shade.replaceChildren(...(bars as Node[]));
    this.svg.append(shade);
  }

  private at(moment: number): void {
    if (moment === this.moment) return;
    this.moment = moment;
    this.slider.value = String(moment);
    this.place();
    this.tell();
  }

  private place(): void {
    const x = String(this.x(this.moment + 0.5));
    this.cursor?.setAttribute("x1", x);
    this.cursor?.setAttribute("x2", x);
  }

  private tell(): void {
    const { run, moment, model } = this;
    if (!run.nodes) return;
    const mark = run.unseen.length ? "≥" : "";
    const op = run.ops.texts[run.ops.of[moment]!]!;
    const where = model.tree.label(run.rows[moment]!);
    const phase = Object.entries(run.phases).filter(([, first]) => first <= moment).pop()?.[0] ?? "";
    const all = heldAt(run, moment);
    const held = [...all.filter((each) => each.made).slice(0, MADE), ...all.filter((each) => !each.made).slice(0, THERE)];
    this.slider.setAttribute("aria-valuetext", `op ${moment + 1}, ${op} in ${where}: ${data(this.total[moment]!)}`);
    this.told.replaceChildren(
      h("p", {}, h("b", {}, `${mark}${data(this.total[moment]!)}`), ` at op ${exact(moment + 1)} of ${exact(run.nodes)}: ${op} in ${where}, ${phase}`),
      h("ul", { class: "uses" }, ...this.uses.filter((use) => use.values[moment]).map((use) =>
        h("li", { "data-use": use.name }, h("span", { class: `swatch u${use.index}` }), `${use.name} ${data(use.values[moment]!)}`))),
      h("table", { class: "holders" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "held by"), h("th", { scope: "col" }, "use"), h("th", { scope: "col", class: "n" }, "bytes"))),
        h("tbody", {}, ...held.map((each) => h("tr", { class: each.made ? null : "there" },
          h("th", { scope: "row" }, h("button", { type: "button", click: () => this.store.set({ row: each.row }) }, each.row ? model.tree.label(each.row) : "the model itself")),
          h("td", {}, h("span", { class: `swatch u${each.use}` }), run.use_names[each.use]!),
          h("td", { class: "n", title: `${exact(each.bytes)} B` }, data(each.bytes)))))),
      h("p", { class: "soft" }, all.length > held.length ? `the largest that the run has made, and of what was there before; ${exact(all.length - held.length)} more` : ""));
  }
}

function unitOf(most: number): number {
  let unit = 1;
  while (most / unit >= 1024 && unit < 2 ** 40) unit *= 1024;
  return unit;
}
