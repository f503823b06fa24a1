// A run's memory, decoded: bytes by use at each op, and who holds them.
import { read, type Changes, type Num, type Run } from "./data.ts";

/** What a curve of changes is at each index. */
export function expanded(changes: Changes, length: number): Num[] {
  const values = new Array<Num>(length).fill(0);
  for (const [i, [start, value]] of changes.entries()) {
    values.fill(read(value)!, start, changes[i + 1]?.[0] ?? length);
  }
  return values;
}

export interface Held {
  row: number;
  use: number;
  bytes: Num;
  /** Whether the run has made it; else it was there before. */
  made: boolean;
}

/** What is alive while an op runs, the largest first. */
export function heldAt(run: Run, moment: number): Held[] {
  const { row, use, bytes, born, died } = run.held;
  const found: Held[] = [];
  for (let i = 0; i < row.length; i++) {
    if (born[i]! <= moment && moment <= died[i]!) found.push({ row: row[i]!, use: use[i]!, bytes: read(bytes[i])!, made: born[i]! >= 0 });
  }
  return found.sort((a, b) => (a.bytes < b.bytes ? 1 : a.bytes > b.bytes ? -1 : a.row - b.row));
}

/** Of many moments, at most `most`: in each stretch of equal length the one with most bytes. */
export function moments(total: Num[], from: number, to: number, most: number): number[] {
  const found: number[] = [];
  const step = Math.max(1, (to - from) / most);
  for (let start = from; start < to; start += step) {
    const [first, last] = [Math.floor(start), Math.min(to, Math.max(Math.floor(start) + 1, Math.floor(start + step)))];
    let highest = first;
    for (let i = first + 1; i < last; i++) if (total[i]! > total[highest]!) highest = i;
    found.push(highest);
  }
  return found;
}
