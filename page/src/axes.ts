// Axes of charts in SVG: lines, ticks and their labels.
import { s } from "./dom.ts";

export interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Where there is room for labels; narrower on phones. */
export function frameOf(width: number, height: number, left = width < 500 ? 58 : 70): Frame {
  return { width, height, left, right: 14, top: 12, bottom: 34 };
}

export function axisX(frame: Frame, ticks: [number, string][], title: string): SVGGElement {
  const y = frame.height - frame.bottom;
  return s("g", { class: "axis" },
    s("line", { x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y }),
    ...ticks.flatMap(([x, text]) => [
      s("line", { x1: x, x2: x, y1: y, y2: y + 4 }),
      s("text", { x, y: y + 15, "text-anchor": "middle" }, text),
    ]),
    s("text", { x: (frame.left + frame.width - frame.right) / 2, y: frame.height - 3, "text-anchor": "middle" }, title));
}

export function axisY(frame: Frame, ticks: [number, string][]): SVGGElement {
  return s("g", { class: "axis" },
    ...ticks.flatMap(([y, text]) => [
      s("line", { class: "rule", x1: frame.left, x2: frame.width - frame.right, y1: y, y2: y }),
      s("text", { x: frame.left - 6, y: y + 4, "text-anchor": "end" }, text),
    ]));
}
