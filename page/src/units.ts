// Which part of the input a unit sees, read from tables that Python made.
import type { Field, Reach } from "./data.ts";

export type Span = [number, number] | null;

/** A span of a table of runs. */
export function spanAt(table: Reach["tables"][number], index: number): Span {
  let left = index;
  for (const run of table) {
    const count = typeof run === "number" ? run : run[0];
    if (left >= count) {
      left -= count;
      continue;
    }
    return typeof run === "number" ? null : [run[1] + left * run[2], run[3] + left * run[4]];
  }
  return null;
}

/** What a unit sees along each axis of the input; "unknown" where no table says it. */
export function boxOf(reach: Reach, field: Field, unit: number[]): (Span | "unknown")[] {
  return field.axes.map((axis) => {
    if (!axis) return "unknown";
    const index = axis.along.reduce((flat, place) => flat * field.units[place]! + unit[place]!, 0);
    return spanAt(reach.tables[axis.table]!, index);
  });
}
