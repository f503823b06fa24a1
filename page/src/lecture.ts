// The networks of slides, drawn: a box for the maps that each layer makes, as high as they are, wide by their channels.
import { read, type Box, type Drawn, type Lecture } from "./data.ts";
import { h, onWidth, s, select } from "./dom.ts";
import { exact, share } from "./format.ts";
import "./change.css";

const [HEIGHT, SLOT, LEAST] = [190, 58, 6];
const KINDS: [RegExp, string][] = [
  [/conv/i, "c0"], [/pool|subsample/i, "c2"], [/linear/i, "c1"], [/norm/i, "c6"], [/relu|tanh|squash|softmax|gelu/i, "c7"],
  [/bottleneck|block|sequential/i, "c3"],
];

export function lecture(data: Lecture, place: HTMLElement): void {
  if (!data.networks.length) return;
  const names = data.networks.map((each, i) => ({ value: String(i), text: each.name }));
  const shown = h("div", {});
  const draw = (at: string): void => shown.replaceChildren(network(data.networks[Number(at)]!));
  place.append(h("section", { class: "cnncost view networks", "aria-labelledby": "networks-title" },
    h("h2", { id: "networks-title" }, "The networks of the slides"),
    h("div", { class: "tools" }, select("Network", new Map([["", names]]), "0", draw)), shown));
  draw("0");
}

function network(drawn: Drawn): HTMLElement {
  const slides = drawn.slides.map((slide) => slide.number).join(", ");
  const svg = s("svg", { class: "chart", role: "img", height: HEIGHT + 74, "aria-label": `${drawn.name}: ${drawn.boxes.map((box) => box.name).join(", ")}` });
  const told = h("p", { class: "told", role: "status" });
  let chosen = 0;

  function tell(): void {
    const box = drawn.boxes[chosen]!;
    const [params, macs] = [read(box.params) ?? 0, read(box.macs) ?? 0];
    const many = box.siblings > 1 ? `, ${box.siblings} alike together` : "";
    told.replaceChildren(h("b", {}, box.name), box.class ? ` (${box.class}${many})` : "", box.shape_text ? `: ${box.shape_text}` : "",
      box.class ? `; ${exact(params)} parameters, ${box.mark}${exact(macs)} MACs, ${share(macs, read(drawn.macs) ?? 0)} of all` : "");
    [...svg.querySelectorAll(".maps")].forEach((element, i) => element.classList.toggle("chosen", i === chosen));
  }

  function draw(): void {
    const across = Math.max(svg.parentElement?.clientWidth || 800, SLOT * drawn.boxes.length);
    const slot = Math.min(110, across / drawn.boxes.length);
    svg.setAttribute("width", String(across));
    const side = Math.max(...drawn.boxes.map(high));
    const first = (maps: boolean): number => Math.max(1, ...drawn.boxes.filter((box) => box.shape.length > 1 === maps).map((box) => box.shape[0] ?? 1));
    svg.replaceChildren(...drawn.boxes.map((box, i) => one(box, i, slot, side, [first(true), first(false)])));
    tell();
  }

  function one(box: Box, i: number, slot: number, side: number, [channels, longest]: [number, number]): SVGGElement {
    const maps = box.shape.length > 1;
    const tall = Math.max(LEAST, HEIGHT * (maps ? high(box) / side : Math.sqrt((box.shape[0] ?? 1) / longest)));
    const wide = maps ? Math.max(LEAST, (slot - 14) * Math.sqrt(box.shape[0]! / channels)) : LEAST;
    const [x, middle] = [slot * (i + 0.5), HEIGHT / 2 + 4];
    const css = KINDS.find(([words]) => words.test(box.class))?.[1] ?? "c8";
    const name = box.name.length > slot / 6.2 ? `${box.name.slice(0, Math.floor(slot / 6.2) - 1)}…` : box.name;
    return s("g", { class: "maps", "data-box": i, "data-path": box.path, click: () => { chosen = i; tell(); } },
      s("rect", { class: "hit", x: slot * i, width: slot, y: 0, height: HEIGHT + 74 }),
      s("rect", { class: css, x: x - wide / 2, width: wide, y: middle - tall / 2, height: tall, rx: 2 }),
      s("text", { x, y: HEIGHT + 24, "text-anchor": "middle", class: "axis-name" }, name),
      s("text", { x, y: HEIGHT + 42, "text-anchor": "middle" }, box.shape.length > 1 ? `${box.shape[0]}` : box.shape_text),
      s("text", { x, y: HEIGHT + 58, "text-anchor": "middle" }, box.shape.length > 1 ? `${box.shape.slice(1).join("×")}` : ""));
  }

  const figure = h("figure", {
    class: "scroll", tabindex: 0, "aria-label": `layers of ${drawn.name}; arrow keys choose one`,
    keydown: (event: KeyboardEvent) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      chosen = Math.min(drawn.boxes.length - 1, Math.max(0, chosen + step));
      tell();
    },
  }, svg);
  draw();
  onWidth(figure, draw);
  return h("div", {},
    h("p", { class: "soft" }, `${drawn.inputs}; ${exact(read(drawn.params) ?? 0)} parameters, ${drawn.mark}${exact(read(drawn.macs) ?? 0)} MACs. Slide${drawn.slides.length > 1 ? "s" : ""} ${slides}.`),
    figure, told,
    h("p", { class: "soft" }, "A box is what a layer makes: as high as its maps, and wider the more there are; a thin one is a vector, and higher the longer it is. Below it, how many maps, and their size."));
}

/** Height and width of the maps, their square root of the area; 1 for vectors. */
function high(box: Box): number {
  const [height, width] = [box.shape[1] ?? 1, box.shape[2] ?? 1];
  return Math.sqrt(height * width);
}
