// The receptive field viewer: a unit of the chosen layer, and the part of the input that it depends on.
import type { Field } from "./data.ts";
import { h, onWidth, picture } from "./dom.ts";
import { exact, share } from "./format.ts";
import type { Model } from "./model.ts";
import { covered, drawn, opened, type Picture } from "./picture.ts";
import type { Store } from "./state.ts";
import { boxOf, type Span } from "./units.ts";

const NAMES: Record<number, string[]> = { 1: ["position"], 2: ["row", "column"], 3: ["slice", "row", "column"] };
const MAP = 180;

export function receptiveField(model: Model, store: Store): HTMLElement {
  const { found, why } = model.data.reach;
  const section = h("section", { class: "view reach", "aria-labelledby": "reach-title" },
    h("div", { class: "title" }, h("h2", { id: "reach-title" }, "Receptive field")));
  section.append(found ? new Viewer(model, store).element : h("p", { class: "soft" }, why));
  return section;
}

class Viewer {
  readonly element: HTMLElement;
  private field: Field | null = null;
  private unit: number[] = [];
  private picture: Picture = drawn();
  private readonly input = h("canvas", { class: "input" });
  private readonly map = h("canvas", { class: "map" });
  private readonly sliders = h("div", { class: "sliders" });
  private readonly said = h("p", { role: "status" });
  private readonly numbers = h("dl", { class: "numbers" });
  private readonly own = h("div", { class: "own-field" });

  constructor(private readonly model: Model, private readonly store: Store) {
    const file = h("input", { type: "file", accept: "image/*", "aria-label": "a picture of your own", change: () => this.open(file.files?.[0]) });
    const about = h("p", { class: "soft" }, "Point at a unit of the layer, or move the sliders; drop a picture of your own, which stays in this page. ");
    this.own.append(h("div", { class: "pair" },
      h("figure", {}, this.input, h("figcaption", {}, "the input, with what the unit sees")),
      h("figure", {}, this.map, h("figcaption", {}, "units of the layer"), this.sliders)), this.said, this.numbers);
    this.element = h("div", {
      dragover: (event: DragEvent) => event.preventDefault(),
      drop: (event: DragEvent) => {
        event.preventDefault();
        void this.open(event.dataTransfer?.files[0]);
      },
    }, about, h("label", { class: "field" }, h("span", {}, "Picture"), file), this.own);
    this.map.addEventListener("pointermove", (event) => this.point(event));
    this.map.addEventListener("pointerdown", (event) => this.point(event));
    store.on(["row"], () => this.follow());
    onWidth(this.element, () => this.draw());
    this.follow();
  }

  private async open(file: File | undefined): Promise<void> {
    if (!file) return;
    try {
      this.picture = await opened(file);
      this.draw();
    } catch {
      this.said.textContent = `${file.name}: not a picture that this browser can show`;
    }
  }

  private follow(): void {
    const reach = this.model.data.reach.found!;
    const place = reach.of[this.store.state.row];
    this.field = place === undefined ? null : reach.fields[place]!;
    const { field } = this;
    this.sliders.parentElement!.hidden = !field?.units.length;
    this.numbers.hidden = !field;
    if (!field) {
      this.said.textContent = `${this.model.tree.label(this.store.state.row)} has no receptive field: it was not called, or its output depends on no input with spatial axes.`;
      this.draw();
      return;
    }
    this.unit = field.units.map((n) => Math.floor(n / 2));
    this.sliders.replaceChildren(...field.units.map((n, axis) => this.slider(field, n, axis)));
    const size = (values: (number | string)[]) => (new Set(values).size === 1 ? String(values[0]) : values.join("×"));
    this.numbers.replaceChildren(...([["field", field.size], ["jump", field.jump], ["start", field.start], ["most seen", field.seen]] as const)
      .map(([name, values]) => h("div", {}, h("dt", {}, name), h("dd", { "data-field": name }, size(values)))));
    this.draw();
  }

  private slider(field: Field, n: number, axis: number): HTMLElement {
    const name = NAMES[field.units.length]?.[axis] ?? `axis ${axis}`;
    const box = h("input", { type: "range", min: 0, max: n - 1, value: this.unit[axis], "data-axis": axis, input: () => {
      this.unit[axis] = Number(box.value);
      this.draw();
    } });
    return h("label", { class: "field" }, h("span", {}, name), box);
  }

  private point(event: PointerEvent): void {
    const { field } = this;
    if (!field?.units.length) return;
    const box = this.map.getBoundingClientRect();
    const across = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width].slice(-Math.min(2, field.units.length));
    const first = field.units.length - across.length;
    across.forEach((part, i) => {
      const n = field.units[first + i]!;
      this.unit[first + i] = Math.min(n - 1, Math.max(0, Math.floor(part * n)));
      const slider = this.sliders.querySelector<HTMLInputElement>(`[data-axis="${first + i}"]`);
      if (slider) slider.value = String(this.unit[first + i]);
    });
    this.draw();
  }

  private draw(): void {
    const reach = this.model.data.reach.found!;
    const { field } = this;
    const size = (reach.images.find((image) => image.input === (field?.input ?? image.input)) ?? reach.images[0]!).size;
    const box = field ? boxOf(reach, field, this.unit) : [];
    const room = Math.min(460, Math.max(120, this.element.clientWidth - (this.element.clientWidth > 460 ? MAP + 40 : 0)));
    const [tall, wide] = size.length > 1 ? [size[size.length - 2]!, size[size.length - 1]!] : [1, size[0]!];
    this.drawInput(room, size.length > 1 ? Math.min(460, (room * tall) / wide) : 56, tall, wide, box.slice(-Math.min(2, size.length)));
    if (field) {
      this.drawMap(field);
      this.tell(field, size, box);
    }
  }

  private drawInput(width: number, height: number, tall: number, wide: number, box: (Span | "unknown")[]): void {
    const pen = sized(this.input, width, height);
    covered(pen, this.picture, width, height);
    if (!this.field || box.includes("unknown")) return;
    const [rows, columns] = box.length > 1 ? [box[0] as Span, box[1] as Span] : [[0, 0] as Span, box[0] as Span];
    pen.fillStyle = "rgba(10, 12, 16, .58)";
    if (!rows || !columns) return pen.fillRect(0, 0, width, height);
    const [x0, x1] = [(columns[0] / wide) * width, ((columns[1] + 1) / wide) * width];
    const [y0, y1] = [(rows[0] / tall) * height, ((rows[1] + 1) / tall) * height];
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.rect(x0, y0, x1 - x0, y1 - y0);
    pen.fill("evenodd");
    pen.lineWidth = 2;
    pen.strokeStyle = "#ffb703";
    pen.strokeRect(x0 + 1, y0 + 1, Math.max(1, x1 - x0 - 2), Math.max(1, y1 - y0 - 2));
  }

  private drawMap(field: Field): void {
    const [tall, wide] = field.units.length > 1 ? field.units.slice(-2) as [number, number] : [1, field.units[0] ?? 1];
    const height = field.units.length > 1 ? Math.min(2 * MAP, (MAP * tall) / wide) : 28;
    const pen = sized(this.map, MAP, height);
    const style = getComputedStyle(this.element);
    pen.fillStyle = style.getPropertyValue("--band");
    pen.fillRect(0, 0, MAP, height);
    const [w, hi] = [MAP / wide, height / tall];
    pen.strokeStyle = style.getPropertyValue("--edge");
    pen.lineWidth = 1;
    if (w >= 4) {
      pen.beginPath();
      for (let i = 1; i < wide; i++) pen.rect(i * w, 0, 0, height);
      for (let i = 1; i < tall; i++) pen.rect(0, i * hi, MAP, 0);
      pen.stroke();
    }
    const unit = this.unit.slice(-2);
    const [row, column] = unit.length > 1 ? unit as [number, number] : [0, unit[0] ?? 0];
    pen.fillStyle = "#d97706";
    pen.fillRect(column * w, row * hi, Math.max(3, w), Math.max(3, hi));
  }

  private tell(field: Field, size: number[], box: (Span | "unknown")[]): void {
    const names = NAMES[size.length] ?? size.map((_, i) => `axis ${i}`);
    const seen = box.map((span, i) => {
      const name = `${names[i]}s`;
      if (span === "unknown") return `${name} that are not known`;
      if (!span) return `no ${name}`;
      return `${name} ${exact(span[0])} to ${exact(span[1])} of ${exact(size[i]!)}`;
    });
    const spans = box.filter((span): span is [number, number] => Array.isArray(span));
    const part = spans.length === size.length ? spans.reduce((product, [first, last]) => product * (last - first + 1), 1) : null;
    const all = size.reduce((product, n) => product * n, 1);
    const what = field.units.length ? `Unit (${this.unit.join(", ")}) of ${field.units.join("×")}` : "Each element";
    this.said.textContent = `${what} of ${this.model.tree.label(this.store.state.row)} sees ${seen.join(" and ")}` +
      (part === null ? "" : `, ${share(part, all)} of the input`) + (field.notes.length ? ` (${field.notes.join("; ")})` : "") + ".";
    picture(this.input, this.said.textContent);
    picture(this.map, `${field.units.join("×") || "no"} units`);
  }
}

/** A canvas of a size in CSS pixels, sharp on every screen. */
function sized(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const dense = devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d")!;
  pen.scale(dense, dense);
  return pen;
}
