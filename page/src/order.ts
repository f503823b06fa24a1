// Which rows the table has, in which order: what is open, what matches, sorted among siblings or all in one list.
import type { Test } from "./query.ts";
import type { Tree } from "./tree.ts";

export interface Sorting {
  column: string;
  descending: boolean;
}

export interface Wanted {
  open: Uint8Array;
  test: Test | null;
  /** Leaves alone, in one list. */
  flat: boolean;
  compare: ((a: number, b: number) => number) | null;
}

export function rowsOf(tree: Tree, wanted: Wanted): Int32Array {
  return wanted.flat ? list(tree, wanted) : nested(tree, wanted);
}

function list(tree: Tree, { test, compare }: Wanted): Int32Array {
  const found = new Int32Array(tree.size);
  let count = 0;
  for (let row = 0; row < tree.size; row++) {
    if (tree.leaf(row) && (!test || test(row))) found[count++] = row;
  }
  const rows = found.subarray(0, count);
  return compare ? rows.sort(compare) : rows;
}

/** What matches stays with all above it, and what is above it is open. */
function nested(tree: Tree, { open, test, compare }: Wanted): Int32Array {
  const kept = test ? matches(tree, test) : null;
  const rows = new Int32Array(tree.size);
  let count = 0;
  const visit = (row: number): void => {
    rows[count++] = row;
    if (!kept && !open[row]) return;
    let below: Iterable<number> = siblings(tree, row);
    if (compare) below = Int32Array.from(below).sort(compare);
    for (const child of below) {
      if (!kept || kept[child]) visit(child);
    }
  };
  if (tree.size) visit(0);
  return rows.subarray(0, count);
}

function* siblings(tree: Tree, row: number): Generator<number> {
  const end = tree.end[row]!;
  for (let i = row + 1; i < end; i = tree.end[i]!) yield i;
}

function matches(tree: Tree, test: Test): Uint8Array {
  const kept = new Uint8Array(tree.size);
  for (let row = tree.size - 1; row >= 0; row--) {
    if (!kept[row] && !test(row)) continue;
    kept[row] = 1;
    if (row) kept[tree.parent[row]!] = 1;
  }
  return kept;
}

/** Rows by a column, what has no value last; text by its letters. */
export function comparison(
  tree: Tree, sorting: Sorting | null, sizes: (column: string) => ((row: number) => number | null) | null,
): ((a: number, b: number) => number) | null {
  if (!sorting) return null;
  const { column, descending } = sorting;
  const sign = descending ? -1 : 1;
  const size = sizes(column);
  if (size) {
    const values = Float64Array.from({ length: tree.size }, (_, row) => size(row) ?? (descending ? -Infinity : Infinity));
    return (a, b) => sign * (values[a]! - values[b]!) || a - b;
  }
  const coded = tree.rows.texts[column];
  const texts = coded?.texts ?? [];
  const order = texts.map((_, i) => i).sort((a, b) => texts[a]!.localeCompare(texts[b]!, "en", { numeric: true }));
  const rank = new Float64Array(texts.length);
  order.forEach((text, i) => (rank[text] = i));
  if (coded) return (a, b) => sign * (rank[coded.of[a]!]! - rank[coded.of[b]!]!) || a - b;
  const names = tree.rows.name;
  return (a, b) => sign * names[a]!.localeCompare(names[b]!, "en", { numeric: true }) || a - b;
}
