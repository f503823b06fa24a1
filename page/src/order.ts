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

/** Rows by a column, what has no value last; text by its letters, numbers in it by their size. */
export function comparison(
  tree: Tree, sorting: Sorting | null, sizes: (column: string) => ((row: number) => number | null) | null,
): ((a: number, b: number) => number) | null {
  if (!sorting) return null;
  const { column, descending } = sorting;
  const sign = descending ? -1 : 1;
  const keys = new Float64Array(tree.size);
  const size = sizes(column);
  if (size) {
    const last = descending ? -Infinity : Infinity;
    for (let row = 0; row < tree.size; row++) keys[row] = size(row) ?? last;
  } else {
    const coded = tree.rows.texts[column];
    if (coded) {
      const rank = ranks(coded.texts);
      for (let row = 0; row < tree.size; row++) keys[row] = rank[coded.of[row]!]!;
    } else keys.set(nameRanks(tree));
  }
  return (a, b) => sign * (keys[a]! - keys[b]!) || a - b;
}

/** The place of each text among all: numbers first, by size. */
function ranks(texts: string[]): Float64Array {
  const numbers = texts.map((text) => (/^\d/.test(text) ? Number.parseFloat(text) : Infinity));
  const order = texts.map((_, i) => i).sort((a, b) =>
    (numbers[a] === numbers[b] ? 0 : numbers[a]! - numbers[b]!) || (texts[a]! < texts[b]! ? -1 : 1));
  const rank = new Float64Array(texts.length);
  order.forEach((text, i) => (rank[text] = i));
  return rank;
}

const named = new WeakMap<Tree, Float64Array>();

function nameRanks(tree: Tree): Float64Array {
  let found = named.get(tree);
  if (!found) {
    const places = new Map<string, number>();
    for (const name of tree.rows.name) if (!places.has(name)) places.set(name, places.size);
    const rank = ranks([...places.keys()]);
    found = Float64Array.from(tree.rows.name, (name) => rank[places.get(name)!]!);
    named.set(tree, found);
  }
  return found;
}
