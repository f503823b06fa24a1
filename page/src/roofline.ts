// The roofline of the chosen device, a dot for each layer: layers that run the same ops share a dot.
import { scaleLog, scaleSqrt } from "d3-scale";
import { axisX, axisY, frameOf, type Frame } from "./axes.ts";
import type { Device } from "./data.ts";
import { h, onWidth, picture, s, tooltip } from "./dom.ts";
import { exact, si, share } from "./format.ts";
import { BOUNDS } from "./inspector.ts";
import type { Model } from "./model.ts";
import type { Store } from "./state.ts";

interface Dot {
  rows: number[];
  profile: number;
  intensity: number;
  /** FLOP/s that the layer reaches if it takes its predicted time. */
  reached: number;
}

export function roofline(model: Model, store: Store): HTMLElement {
  const { tree } = model;
  const svg = s("svg");
  const told = h("p", { class: "soft" });
  const section = h("section", { class: "view roofline", "aria-labelledby": "roofline-title" },
    h("div", { class: "title" }, h("h2", { id: "roofline-title" }, "Roofline")));
  if (!store.state.device) {
    section.append(h("p", { class: "soft" }, "No predicted times: the report was read from a file, which does not hold the run."));
    return section;
  }
  const byProfile = new Map<number, number[]>();
  for (const row of model.leaves()) {
    const profile = tree.rows.profile![row]!;
    byProfile.set(profile, [...(byProfile.get(profile) ?? []), row]);
  }
  section.append(told, svg);

  function dotsOn(device: Device): Dot[] {
    const { intensity } = model.data.profiles!;
    return [...byProfile].flatMap(([profile, rows]) => {
      const seconds = device.seconds![profile]!;
      const at = intensity[profile] ?? 0;
      const flops = Number(tree.number("flops", rows[0]!) ?? 0);
      return seconds && at && flops ? [{ rows, profile, intensity: at, reached: flops / seconds }] : [];
    });
  }

  function draw(): void {
    const device = model.device(store.state.device)!;
    const dots = dotsOn(device);
    const frame = frameOf(section.clientWidth, Math.min(440, Math.max(260, section.clientWidth * 0.55)), 80);
    const roofs = Object.entries(device.flops).sort(([, a], [, b]) => a - b);
    const used = device.used?.length ? device.used : [roofs[0]?.[0] ?? ""];
    const peaks = roofs.filter(([name]) => used.includes(name)).map(([, peak]) => peak);
    const top = Math.max(...peaks, ...roofs.map(([, peak]) => peak));
    const ridge = device.bandwidth ? Math.max(...peaks) / device.bandwidth : 1;
    const x = scaleLog([0.5 * Math.min(0.1, ridge, ...dots.map((dot) => dot.intensity)), 2 * Math.max(10 * ridge, ...dots.map((dot) => dot.intensity))], [frame.left, frame.width - frame.right]);
    const low = Math.min(top / 1e4, ...dots.map((dot) => dot.reached));
    const y = scaleLog([low / 2, top * 2], [frame.height - frame.bottom, frame.top]);
    const total = device.seconds![tree.rows.profile![0]!]!;
    const size = scaleSqrt([0, total || 1], [2.5, 20]).clamp(true);
    svg.setAttribute("width", String(frame.width));
    svg.setAttribute("height", String(frame.height));
    svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    picture(svg, `roofline of ${device.title} with ${dots.length} kinds of layers; the table has their times`);
    const drawn = dots.map((dot) => circle(dot, device, x(dot.intensity), y(dot.reached), size(device.seconds![dot.profile]! * dot.rows.length)));
    svg.replaceChildren(
      axisY(frame, decades(y.domain(), Math.ceil(frame.height / 60)).map((n) => [y(n), si(n, "FLOP/s").replace(/\.00/, "")])),
      ...lines(device, used, frame, x, y), ...drawn,
      axisX(frame, decades(x.domain(), Math.ceil(frame.width / 90)).map((n) => [x(n), n < 1 ? String(n) : exact(n)]), "FLOPs a byte"));
    tell(device, dots);
    mark();
  }

  function tell(device: Device, dots: Dot[]): void {
    const drawn = dots.reduce((sum, dot) => sum + dot.rows.length, 0);
    const left = [...byProfile].filter(([profile]) => device.seconds![profile]).reduce((sum, [, rows]) => sum + rows.length, 0) - drawn;
    told.textContent = `${device.title}: ${model.time(device, tree.rows.profile![0])} in all, at the ceilings of its datasheet, a lower bound, in ${device.used?.join(", ") || "no"} arithmetic. ` +
      `A dot’s area is the time of its layers` + (left ? `; ${exact(left)} layers without a FLOP have no dot.` : ".");
  }

  function circle(dot: Dot, device: Device, cx: number, cy: number, r: number): SVGCircleElement {
    const rows = dot.rows;
    return s("circle", {
      cx, cy, r, class: `dot f${model.colour(rows[0]!)}`, "data-rows": rows.length, "data-profile": dot.profile,
      click: () => {
        const next = rows[(rows.indexOf(store.state.row) + 1) % rows.length]!;
        store.set({ row: next });
      },
      pointermove: (event: PointerEvent) => tooltip(event,
        h("b", {}, tree.label(rows[0]!) + (rows.length > 1 ? ` and ${rows.length - 1} like it` : "")),
        h("div", { class: "soft" }, tree.text("class", rows[0]!)),
        h("div", {}, `${model.time(device, dot.profile)}${rows.length > 1 ? " each" : ""}, bound by ${BOUNDS[device.bounds![dot.profile]!] ?? "nothing"}; ` +
          `${share(device.seconds![dot.profile]! * rows.length, device.seconds![tree.rows.profile![0]!]!)} of all`),
        h("div", { class: "soft" }, `${dot.intensity.toPrecision(3)} FLOPs a byte, ${si(dot.reached, "FLOP/s")}`)),
      pointerleave: () => tooltip(null),
    });
  }

  function mark(): void {
    const { row } = store.state;
    for (const element of svg.querySelectorAll<SVGCircleElement>("circle")) {
      const rows = byProfile.get(Number(element.dataset.profile)) ?? [];
      const inside = row > 0 && rows.some((each) => tree.within(each, row));
      element.classList.toggle("chosen", inside);
      if (inside) element.parentNode!.append(element);
    }
    svg.classList.toggle("some", row > 0);
  }

  store.on(["device"], draw);
  store.on(["row"], mark);
  onWidth(section, draw);
  return section;
}

type Scale = ReturnType<typeof scaleLog<number, number>>;

/** The bandwidths of memory and caches, and the peak of each number format, those that the model uses in full. */
function lines(device: Device, used: string[], frame: Frame, x: Scale, y: Scale): SVGElement[] {
  const [left, right] = x.domain() as [number, number];
  const found: SVGElement[] = [];
  const highest = Math.max(...Object.entries(device.flops).filter(([name]) => used.includes(name)).map(([, peak]) => peak));
  const levels = [...device.caches.map(([, bandwidth]) => [bandwidth, "cache"] as const), ...(device.bandwidth ? [[device.bandwidth, ""] as const] : [])];
  for (const [bandwidth, css] of levels) {
    const end = Math.min(right, highest / bandwidth);
    const start = Math.max(left, (y.domain()[0] as number) / bandwidth);
    if (end <= start) continue;
    found.push(s("line", { class: `roof ${css}`, x1: x(start), y1: y(start * bandwidth), x2: x(end), y2: y(end * bandwidth) }));
    if (!css) found.push(s("text", { class: "roof-name", x: x(start) + 8, y: Math.max(frame.top + 10, y(start * bandwidth * 3)) }, si(bandwidth, "B/s")));
  }
  for (const [name, peak] of Object.entries(device.flops)) {
    const css = used.includes(name) ? "" : " unused";
    const start = device.bandwidth ? Math.max(left, peak / device.bandwidth) : left;
    if (start >= right) continue;
    found.push(s("line", { class: `roof${css}`, x1: x(start), y1: y(peak), x2: frame.width - frame.right, y2: y(peak) }));
  }
  return [...found, ...names(device, used, frame, y)];
}

/** Names at the right end of the roofs, formats of one peak together; those that are in use first, others where there is room. */
function names(device: Device, used: string[], frame: Frame, y: Scale): SVGElement[] {
  const byPeak = new Map<number, string[]>();
  for (const [name, peak] of Object.entries(device.flops)) byPeak.set(peak, [...(byPeak.get(peak) ?? []), name]);
  const isUsed = (formats: string[]) => formats.some((name) => used.includes(name));
  const taken: number[] = [];
  return [...byPeak].sort(([, a], [, b]) => Number(isUsed(b)) - Number(isUsed(a))).flatMap(([peak, formats]) => {
    const at = y(peak) - 4;
    if (taken.some((other) => Math.abs(other - at) < 16)) return [];
    taken.push(at);
    return [s("text", {
      class: `roof-name${isUsed(formats) ? "" : " unused"}`, x: frame.width - frame.right - 2, y: at, "text-anchor": "end",
    }, `${formats.join(", ")} ${si(peak, "FLOP/s")}`)];
  });
}

function decades([low, high]: number[], most: number): number[] {
  const [first, last] = [Math.ceil(Math.log10(low!)), Math.floor(Math.log10(high!))];
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  const found: number[] = [];
  for (let power = first; power <= last; power += step) found.push(power < 0 ? Number(`1e${power}`) : 10 ** power);
  return found;
}
