// How numbers look: the same text as cnncost.units makes of them.
import type { Num } from "./data.ts";

const COUNTS: [string, bigint][] = [["k", 10n ** 3n], ["M", 10n ** 6n], ["G", 10n ** 9n], ["T", 10n ** 12n]];
const BYTES: [string, bigint][] = [["KiB", 1n << 10n], ["MiB", 1n << 20n], ["GiB", 1n << 30n], ["TiB", 1n << 40n]];
const SI: [string, number][] = [
  ["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3], ["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9],
];

/** `1234` → `1,234`. */
export function exact(n: Num): string {
  return n.toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

function rounded(n: bigint, divisor: bigint): bigint {
  return (2n * n + divisor) / (2n * divisor);
}

function scaled(n: bigint, units: [string, bigint][], base: bigint): string {
  for (const [unit, factor] of units) {
    for (const decimals of [2n, 1n, 0n]) {
      const power = 10n ** decimals;
      const digits = rounded(n * power, factor);
      if (digits < (decimals ? 1000n : base)) {
        const rest = decimals ? `.${(digits % power).toString().padStart(Number(decimals), "0")}` : "";
        return `${digits / power}${rest} ${unit}`;
      }
    }
  }
  const [unit, factor] = units[units.length - 1]!;
  return `${exact(rounded(n, factor))} ${unit}`;
}

/** Three significant digits and a unit: `4089184256` → `4.09 G`; exact below 1000. */
export function compact(n: Num): string {
  return n < 1000 ? n.toString() : scaled(BigInt(n), COUNTS, 1000n);
}

/** Three significant digits and a unit, by powers of 1024: `102236160` → `97.5 MiB`; exact below 1024. */
export function data(n: Num): string {
  return n < 1024 ? `${n} B` : scaled(BigInt(n), BYTES, 1024n);
}

/** Three significant digits of a predicted quantity: `3.19 ms`, `989 TFLOP/s`. */
export function si(n: number, unit: string): string {
  if (!n) return `0 ${unit}`;
  const short = Number(n.toPrecision(3));
  const [prefix, factor] = SI.find(([, f]) => Math.abs(short) >= f) ?? SI[SI.length - 1]!;
  const value = short / factor;
  const size = Math.abs(value);
  const decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  return `${value.toFixed(decimals).replace(/\B(?=(\d{3})+$)/g, ",")} ${prefix}${unit}`;
}

/** `83 %`; a part that is not zero is never `0 %`, one that is not all never `100 %`. */
export function share(part: Num, whole: Num): string {
  const [p, w] = [Number(part), Number(whole)];
  if (!w) return "–";
  const percent = Math.round((100 * p) / w);
  if (percent === 0 && p > 0) return "<1 %";
  if (percent === 100 && p < w) return ">99 %";
  return `${percent} %`;
}

/** A value of a column by its look, as tables of cnncost show it. */
export function shown(look: string, value: Num): string {
  if (look === "count") return exact(value);
  if (look === "bytes") return data(value);
  if (look === "figure") return String(value).replace("-", "−");
  if (look.startsWith("signed_")) {
    if (!value) return look === "signed_bytes" ? "±0 B" : "±0";
    return (value > 0 ? "+" : "−") + shown(look.slice("signed_".length), value < 0 ? -value : value);
  }
  if (look === "share") return share(value, 1);
  if (look === "seconds") return si(Number(value), "s");
  return typeof value === "bigint" ? exact(value) : ratio(value);
}

function ratio(n: number): string {
  const size = Math.abs(n);
  return n.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}
