// The search field: words that a path or class has in it, `class:conv`, and limits such as `params>1000` or `macs>=1e9`.
import type { Tree } from "./tree.ts";

export type Test = (row: number) => boolean;

const LIMIT = /^([a-z_]+)(>=|<=|>|<|=)(\d+(?:\.\d+)?(?:e\d+)?)([kmgt]?)$/;
const FACTORS: Record<string, number> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** Whether a row matches all words; null if there are none. */
export function matcher(query: string, tree: Tree, numbers: Record<string, (row: number) => number | null>): Test | null {
  const tests = query.toLowerCase().split(/\s+/).filter(Boolean).map((word) => one(word, tree, numbers));
  return tests.length ? (row) => tests.every((test) => test(row)) : null;
}

function one(word: string, tree: Tree, numbers: Record<string, (row: number) => number | null>): Test {
  const limit = LIMIT.exec(word);
  const value = limit && numbers[limit[1]!];
  if (limit && value) {
    const than = Number(limit[3]) * FACTORS[limit[4]!]!;
    const compare = COMPARE[limit[2]!]!;
    return (row) => {
      const n = value(row);
      return n !== null && compare(n, than);
    };
  }
  const [key, ...rest] = word.split(":");
  const coded = tree.rows.texts[rest.length ? key! : "class"];
  const has = coded?.texts.map((text) => text.toLowerCase().includes(rest.length ? rest.join(":") : word));
  if (rest.length && coded) return (row) => has![coded.of[row]!]!;
  const paths = tree.lowerPaths();
  return (row) => paths[row]!.includes(word) || (has?.[coded!.of[row]!] ?? false);
}

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, "=": (a, b) => a === b,
};
