// Two figures of models against each other, with the Pareto front that Python has found.
import { scaleLinear, scaleLog } from "d3-scale";
import { axisX, axisY, frameOf } from "./axes.ts";
import type { Axis, Comparison } from "./data.ts";
import { h, onWidth, picture, s, select, tooltip } from "./dom.ts";
import { compact, exact, data as bytes, si } from "./format.ts";
import type { Model } from "./model.ts";
import type { Store } from "./state.ts";

const RADIUS = 6;
/** More dots than this are drawn once where they would cover each other, and named only on the front. */
const MANY = 400;
const NAMED = 40;
/** No more dots than this, beside those of fronts. */
const MOST = 1000;
type Place = readonly [row: number, left: number, top: number];
type Scale = ((n: number) => number) & { ticks(count?: number): number[]; domain(): number[] };

/** A scale of a figure; logarithmic for counts and bytes, if all are above 0. */
export function scaleOf(axis: Axis, values: number[], range: [number, number]): Scale {
  const [low, high] = extent(values);
  if (axis.look !== "figure" && low > 0) return scaleLog([low / 1.15, high * 1.15], range);
  const room = 0.06 * (high - low || Math.abs(high) || 1);
  return scaleLinear([low - room, high + room], range).nice();
}

/** The least and the largest of numbers, however many there are. */
export function extent(values: number[]): [number, number] {
  return values.reduce(([low, high], n) => [Math.min(low, n), Math.max(high, n)], [Infinity, -Infinity]);
}

/** What stands at a tick. */
export function tickOf(axis: Axis, n: number): string {
  if (axis.look === "figure") return String(Number(n.toPrecision(6)));
  if (axis.look === "seconds") return si(n, "s").replace(/(\.\d*?)0+(?= )/, "$1").replace(". ", " ");
  const text = axis.look === "bytes" ? bytes(Math.round(n)) : compact(Math.round(n));
  return text.replace(/(\.\d*?)0+(?= )/, "$1").replace(". ", " ");
}

/** No more than so many ticks; of a logarithmic scale those of 1, 2 and 5. */
export function ticksOf(scale: Scale, axis: Axis, most: number): [number, string][] {
  let ticks = scale.ticks(most);
  const logarithmic = "base" in scale;
  if (axis.look === "bytes" && logarithmic) ticks = doublings(scale.domain());
  else if (logarithmic) {
    const round = (digits: number[]) => ticks.filter((n) => digits.includes(Number(n.toExponential()[0])));
    ticks = [[1, 2, 5], [1, 3], [1]].map(round).find((found) => found.length <= most && found.length > 1) ?? ticks;
  }
  const step = Math.ceil(ticks.length / most) || 1;
  return ticks.filter((_, i) => i % step === 0).map((n) => [scale(n), tickOf(axis, n)]);
}

/** The powers of two in a range of bytes. */
function doublings([low, high]: number[]): number[] {
  const found: number[] = [];
  for (let n = 2 ** Math.ceil(Math.log2(low!)); n <= high!; n *= 2) found.push(n);
  return found;
}

export function scatter(model: Model<Comparison>, store: Store, kept: () => (row: number) => boolean): { element: HTMLElement; mark: () => void } {
  const { axes, fronts, x, y } = model.data;
  const about = (name: string): Axis => axes.find((axis) => axis.name === name) ?? axes[0]!;
  let [across, up] = [about(x), about(y)];
  const svg = s("svg", { class: "chart" });
  const told = h("p", { class: "soft", role: "status" });
  const options = axes.map((axis) => ({ value: axis.name, text: axis.heading }));
  const section = h("section", { class: "view scatter", "aria-labelledby": "scatter-title" },
    h("div", { class: "title" }, h("h2", { id: "scatter-title" }, "One against the other")),
    h("div", { class: "tools" },
      select("Across", new Map([["", options]]), across.name, (name) => { across = about(name); draw(); }),
      select("Up", new Map([["", options]]), up.name, (name) => { up = about(name); draw(); })),
    told, svg);

  function front(): number[][] | undefined {
    return fronts[`${across.name} ${up.name}`] ?? fronts[`${up.name} ${across.name}`];
  }

  function draw(): void {
    const { tree } = model;
    const value = (axis: Axis) => model.sizes(tree, axis.name, "");
    const [ofX, ofY] = [value(across), value(up)];
    const rows = Array.from({ length: tree.size }, (_, row) => row).filter((row) => ofX(row) !== null && ofY(row) !== null);
    const frame = frameOf(section.clientWidth || 800, Math.min(460, Math.max(280, section.clientWidth * 0.5)));
    const [toX, toY] = [
      scaleOf(across, rows.map((row) => ofX(row)!), [frame.left, frame.width - frame.right]),
      scaleOf(up, rows.map((row) => ofY(row)!), [frame.height - frame.bottom, frame.top]),
    ];
    const lines = front() ?? [];
    const best = new Set(lines.flat());
    const radius = rows.length > MANY ? RADIUS / 2 : RADIUS;
    const places = apart(rows.map((row) => [row, toX(ofX(row)!), toY(ofY(row)!)] as const), best, radius);
    const line = (of: number[]) => of.map((row) => [toX(ofX(row)!), toY(ofY(row)!)] as const).sort((a, b) => a[0] - b[0]);
    svg.setAttribute("width", String(frame.width));
    svg.setAttribute("height", String(frame.height));
    svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    picture(svg, `${up.heading} over ${across.heading} of ${rows.length} models; the table has the numbers`);
    svg.replaceChildren(
      axisY(frame, ticksOf(toY, up, Math.ceil(frame.height / 55))),
      s("text", { class: "axis-name", x: 4, y: 11 }, up.heading),
      ...lines.map((of) => s("polyline", { class: "front", points: line(of).map((place) => place.join()).join(" ") })),
      ...names(places, best, radius, frame.width - frame.right), ...places.map(([row, left, top]) => dot(row, left, top, best.has(row), radius)),
      axisX(frame, ticksOf(toX, across, Math.ceil(frame.width / 95)), across.heading));
    const lacking = tree.size - rows.length;
    told.textContent = (front()
      ? `Orange: the Pareto front of ${words(across)} and ${words(up)}: no other model is better in one without being worse in the other${model.data.each && `, of each ${model.data.each}`}.`
      : model.data.axes.length && Object.keys(fronts).length ? "No front: of one of these it is not known what is better." : "No front: the models do not do the same work.") +
      (lacking ? ` ${exact(lacking)} without a value ${lacking === 1 ? "has" : "have"} no dot.` : "") +
      (places.length < rows.length ? ` ${exact(rows.length - places.length)} dots lie at others.` : "");
    mark();
  }

  function words(axis: Axis): string {
    return `${axis.heading} (${axis.better} is better)`;
  }

  function dot(row: number, cx: number, cy: number, best: boolean, r: number): SVGCircleElement {
    return s("circle", {
      cx, cy, r, class: best ? "model best" : "model", "data-row": row,
      click: () => store.set({ row }),
      pointermove: (event: PointerEvent) => tooltip(event, h("b", {}, model.tree.label(row)),
        ...[across, up].map((axis) => h("div", {}, `${axis.heading}: ${model.cell(model.tree, axis, row, "")}`))),
      pointerleave: () => tooltip(null),
    });
  }

  /** Names beside their dots, where they cover no other. */
  function names(places: Place[], best: Set<number>, radius: number, right: number): SVGTextElement[] {
    const boxes = places.map(([, left, top]) => [left - radius, top - radius, left + radius, top + radius]);
    const found: SVGTextElement[] = [];
    for (const [row, left, top] of places.length > MANY ? places.filter(([each]) => best.has(each)).slice(0, NAMED) : places) {
      const text = model.tree.label(row);
      const wide = text.length * 6.6;
      for (const [x0, anchor] of [[left + 11, "start"], [left - 11 - wide, "end"]] as const) {
        const box = [x0, top - 7, x0 + wide, top + 6];
        const free = x0 > 0 && x0 + wide < right && boxes.every(([a, b, c, d]) => box[0]! > c! || box[2]! < a! || box[1]! > d! || box[3]! < b!);
        if (!free) continue;
        boxes.push(box);
        found.push(s("text", { class: "model-name", x: anchor === "start" ? x0 : left - 11, y: top + 4, "text-anchor": anchor }, text));
        break;
      }
    }
    return found;
  }

  /** The dots that are not under or next to another one; those of fronts are all there. */
  function apart(places: Place[], best: Set<number>, radius: number): Place[] {
    if (places.length <= MANY) return places;
    let kept = places;
    for (let cell = radius; kept.length > MOST + best.size; cell *= 1.4) {
      const taken = new Set<number>();
      kept = kept.filter(([row, left, top]) => {
        const at = Math.round(left / cell) * 65536 + Math.round(top / cell);
        return best.has(row) || (!taken.has(at) && !!taken.add(at));
      });
    }
    return [...kept.filter(([row]) => !best.has(row)), ...kept.filter(([row]) => best.has(row))];
  }

  function mark(): void {
    const test = kept();
    for (const element of svg.querySelectorAll<SVGCircleElement>("circle")) {
      const row = Number(element.dataset.row);
      element.classList.toggle("chosen", row === store.state.row);
      element.classList.toggle("dim", !test(row));
    }
  }

  store.on(["row"], mark);
  onWidth(section, draw);
  return { element: section, mark };
}


