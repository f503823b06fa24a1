// The module tree by column. 100,000 rows are sorted and filtered within a frame or two, as no object is made for one.
import { read, type Num, type Rows } from "./data.ts";

export class Tree {
  readonly size: number;
  /** The row above each; -1 for the model. */
  readonly parent: Int32Array;
  /** The row after the last one in each. */
  readonly end: Int32Array;
  readonly own: Set<number>;
  readonly columns: Record<string, (Num | null)[]> = {};
  readonly depth: number;
  private lowered: string[] | undefined;

  /** `whole` is the tree that this one folds, and which row of this one stands for each of its rows. */
  constructor(readonly rows: Rows, private readonly whole?: { tree: Tree; fold: number[] }) {
    this.size = rows.name.length;
    this.parent = new Int32Array(this.size).fill(-1);
    this.end = new Int32Array(this.size).fill(this.size);
    this.own = new Set(rows.own);
    const path: number[] = [];
    let depth = 0;
    for (let i = 0; i < this.size; i++) {
      const level = rows.level[i]!;
      while (path.length > level) this.end[path.pop()!] = i;
      if (level) this.parent[i] = path[level - 1]!;
      path.push(i);
      depth = Math.max(depth, level + 1);
    }
    this.depth = depth;
    for (const [name, values] of Object.entries(rows.numbers)) this.columns[name] = values.map(read);
  }

  leaf(row: number): boolean {
    return this.end[row] === row + 1;
  }

  /** Whether a row is another, or in it. */
  within(row: number, above: number): boolean {
    return row >= above && row < this.end[above]!;
  }

  children(row: number): number[] {
    const found: number[] = [];
    for (let i = row + 1; i < this.end[row]!; i = this.end[i]!) found.push(i);
    return found;
  }

  above(row: number): number[] {
    const found: number[] = [];
    for (let i = row; i >= 0; i = this.parent[i]!) found.unshift(i);
    return found;
  }

  /** The module's path, empty for the model. */
  path(row: number): string {
    return this.above(row).slice(1).filter((i) => !this.own.has(i)).map((i) => this.rows.name[i]).join(".");
  }

  /** The path as it is shown. */
  label(row: number): string {
    const several = this.rows.labels[row];
    if (several) return several;
    const path = this.path(row) || (this.own.has(row) ? "" : this.rows.name[row]!);
    return this.own.has(row) ? `${path} ${this.rows.name[row]}`.trim() : path;
  }

  /** What stands after the name: how many modules it is (after its path, all), calls, whether it was called. */
  note(row: number, all = false): string {
    const times = (all ? this.rows.together : this.rows.siblings)[row];
    return [times ? `×${times}` : "", this.rows.notes[row] ?? ""].filter(Boolean).join(" ");
  }

  number(column: string, row: number): Num | null {
    return this.columns[column]?.[row] ?? null;
  }

  text(column: string, row: number): string {
    const coded = this.rows.texts[column];
    return coded ? coded.texts[coded.of[row]!]! : "";
  }

  /** `≥` before a lower bound, and the like. */
  mark(column: string, row: number): string {
    return this.rows.marks[column]?.[row] ?? "";
  }

  /** Paths in lower case, for the search; of a row that stands for several, all of them. */
  lowerPaths(): string[] {
    return (this.lowered ??= this.whole ? gathered(this.whole.tree.lowerPaths(), this.whole.fold, this.size) : lowerPaths(this));
  }
}

function lowerPaths(tree: Tree): string[] {
  const found = new Array<string>(tree.size).fill("");
  for (let i = 1; i < tree.size; i++) {
    const above = found[tree.parent[i]!]!;
    const name = tree.rows.name[i]!.toLowerCase();
    found[i] = tree.own.has(i) ? `${above} ${name}` : above ? `${above}.${name}` : name;
  }
  return found;
}

function gathered(paths: string[], fold: number[], size: number): string[] {
  const found = Array.from({ length: size }, (): string[] => []);
  paths.forEach((path, i) => found[fold[i]!]!.push(path));
  return found.map((each) => each.join("\n"));
}
