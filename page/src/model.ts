// The page's data, ready to be asked: trees, numbers by column and device, colours of classes.
import type { Column, Device, Num, Summary, Tabled } from "./data.ts";
import { share, shown, si } from "./format.ts";
import { Tree } from "./tree.ts";

export interface Metric {
  name: string;
  heading: string;
  look: string;
}

const METRICS: [string, string][] = [
  ["macs", "MACs"], ["params", "parameters"], ["flops", "FLOPs"], ["traffic", "bytes moved"],
  ["allocated", "activations"], ["seconds", "predicted time"],
];
const COLOURS = 8;

export class Model<D extends Tabled = Summary> {
  readonly tree: Tree;
  readonly folded: Tree | null;
  readonly devices: Device[];
  readonly metrics: Metric[];
  readonly columns: Column[];
  /** What a row is. */
  readonly row: string = "module";
  private readonly colours: Map<string, number>;
  private readonly partials = new Map<Device, Set<number>>();

  constructor(readonly data: D) {
    this.tree = new Tree(data.rows);
    this.folded = data.folded && new Tree(data.folded, { tree: this.tree, fold: data.fold! });
    this.devices = data.devices ?? [];
    this.columns = [...data.columns];
    if (this.devices.some((device) => device.seconds)) {
      const place = this.columns.findIndex((column) => column.name === "bytes_written") + 1;
      this.columns.splice(place, 0, {
        name: "seconds", heading: "time", look: "seconds", right: true, sums: true,
        meaning: "predicted on the chosen device, at its ceilings: a lower bound",
      });
    }
    this.metrics = METRICS.filter(([name]) => this.some(name)).map(([name, heading]) => ({
      name, heading,
      look: name === "traffic" || name === "allocated" ? "bytes" : name === "seconds" ? "seconds" : "count",
    }));
    this.colours = ranked(this.tree);
  }

  private some(name: string): boolean {
    if (name === "seconds") return this.devices.some((device) => device.seconds);
    return (this.tree.columns[name] ?? []).some((n) => n);
  }

  device(name: string): Device | undefined {
    return this.devices.find((device) => device.name === name);
  }

  /** A row's number in a column; `device` is for seconds alone. */
  number(tree: Tree, column: string, row: number, device: string): Num | null {
    if (column !== "seconds") return tree.number(column, row);
    const profile = tree.rows.profile?.[row];
    return profile === undefined ? null : (this.device(device)?.seconds?.[profile] ?? null);
  }

  /** The numbers of a column as a function, for sorting and sizes. */
  sizes(tree: Tree, column: string, device: string): (row: number) => number | null {
    if (column === "seconds") {
      const [profiles, seconds] = [tree.rows.profile, this.device(device)?.seconds];
      return profiles && seconds ? (row) => seconds[profiles[row]!]! : () => null;
    }
    const values = tree.columns[column];
    return values ? (row) => (values[row] === null ? null : Number(values[row])) : () => null;
  }

  /** The predicted time of a profile; a lower bound where an op has none on this device. */
  time(device: Device | undefined, profile: number | undefined, count = 1): string {
    const seconds = profile === undefined ? undefined : device?.seconds?.[profile];
    return seconds === undefined ? "" : (this.partial(device!, profile!) ? "≥" : "") + si(count * seconds, "s");
  }

  partial(device: Device, profile: number): boolean {
    let found = this.partials.get(device);
    if (!found) this.partials.set(device, (found = new Set(device.partial)));
    return found.has(profile);
  }

  /** What a cell shows. */
  cell(tree: Tree, column: Column | Metric, row: number, device: string): string {
    if (column.name === "seconds") return this.time(this.device(device), tree.rows.profile?.[row]);
    const value = this.number(tree, column.name, row, device);
    if (!tree.columns[column.name]) return tree.text(column.name, row);
    const mark = tree.mark(column.name === "traffic" ? "bytes_read" : column.name, row);
    return value === null ? mark : mark + shown(column.look, value);
  }

  /** The colour of a row's class: one of eight, or the ninth for all further classes. */
  colour(row: number): number {
    const at = this.tree.own.has(row) ? this.tree.parent[row]! : row;
    return this.colours.get(this.tree.text("class", at)) ?? COLOURS;
  }

  /** The style of a row's band. */
  css(row: number): string {
    return this.tree.leaf(row) ? `c${this.colour(row)}` : "";
  }

  /** What the styles of bands mean: the classes that have a colour of their own. */
  legend(): [css: string, text: string][] {
    return [...this.colours].map(([name, i]) => [`c${i}`, name]);
  }

  /** What is told of a row's size: soft, and plain. */
  told(row: number, metric: Metric, device: string): [string, string] {
    const size = this.sizes(this.tree, metric.name, device);
    const part = share(size(row) ?? 0, size(0) ?? 0);
    return [this.tree.text("class", row), `${this.cell(this.tree, metric, row, device)} ${metric.heading}, ${part} of all`];
  }

  /** Rows that run ops themselves, or hold something: leaves, and own shares. */
  leaves(): number[] {
    return Array.from({ length: this.tree.size }, (_, row) => row).filter((row) => this.tree.leaf(row));
  }

  /** The row of the folded tree for one of the whole. */
  toFolded(row: number): number {
    return this.data.fold?.[row] ?? row;
  }
}

/** The eight classes of leaves with most FLOPs, then most parameters. */
function ranked(tree: Tree): Map<string, number> {
  const sums = new Map<string, [number, number]>();
  for (let row = 0; row < tree.size; row++) {
    if (!tree.leaf(row) || tree.own.has(row)) continue;
    const sum = sums.get(tree.text("class", row)) ?? [0, 0];
    sum[0] += Number(tree.number("flops", row) ?? 0);
    sum[1] += Number(tree.number("params", row) ?? 0);
    sums.set(tree.text("class", row), sum);
  }
  const order = [...sums].sort(([, a], [, b]) => b[0] - a[0] || b[1] - a[1]).slice(0, COLOURS);
  return new Map(order.map(([name], i) => [name, i]));
}
