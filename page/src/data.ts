// What cnncost writes into the page (cnncost/report/interactive): all numbers are computed there.

export type Num = number | bigint;
/** An int as it is written: as text where a number would not hold it. */
export type Written = number | string | null;

export interface Column {
  name: string;
  heading: string;
  meaning: string;
  look: string;
  right: boolean;
  sums: boolean;
  /** Left out until it is asked for. */
  hidden?: boolean;
}

export interface Coded {
  texts: string[];
  of: number[];
}

export interface Rows {
  name: string[];
  level: number[];
  own: number[];
  /** How many equal modules next to each other a row stands for. */
  siblings: Record<string, number>;
  /** How many modules it stands for in all, those in other equal blocks included. */
  together: Record<string, number>;
  /** Names of rows that stand for several. */
  labels: Record<string, string>;
  notes: Record<string, string>;
  biggest: number[];
  marks: Record<string, Record<string, string>>;
  numbers: Record<string, Written[]>;
  texts: Record<string, Coded>;
  /** Of a difference: what became of each. */
  state?: string[];
  profile?: number[];
  first?: number[];
}

export interface Device {
  name: string;
  title: string;
  kind: string;
  year: number;
  flops: Record<string, number>;
  bandwidth: number | null;
  source: string;
  caches: [number, number][];
  error?: string;
  seconds?: number[];
  bounds?: string;
  used?: string[];
  /** Profiles with ops that have no time on it: their seconds are lower bounds. */
  partial?: number[];
}

export interface Op {
  name: string;
  kind: string;
  signature: string;
  known: boolean;
  formula?: string[];
  macs?: Written;
  flops?: Written;
  read?: Written;
  written?: Written;
}

export interface Formulas {
  ops: Op[];
  runs: Record<string, [number, number][]>;
  rules: Record<string, string>;
}

export type Changes = [number, Written][];

export interface Run {
  name: string;
  nodes: number;
  phases: Record<string, number>;
  peak: Written;
  peak_at: number | null;
  ideal_peak: Written;
  unseen: string[];
  total: Changes;
  uses: Record<string, Changes>;
  use_names: string[];
  ops: Coded;
  rows: number[];
  held: { row: number[]; use: number[]; bytes: Written[]; born: number[]; died: number[] };
}

export interface Field {
  input: number;
  size: (number | string)[];
  jump: (number | string)[];
  start: (number | string)[];
  seen: (number | string)[];
  notes: string[];
  units: number[];
  axes: ({ along: number[]; table: number } | null)[];
}

export interface Reach {
  images: { input: number; size: number[] }[];
  fields: Field[];
  of: Record<string, number>;
  tables: (number | [number, number, number, number, number])[][];
}

/** What a tree and its table are made of. */
export interface Tabled {
  columns: Column[];
  rows: Rows;
  folded: Rows | null;
  fold?: number[];
  devices?: Device[];
}

export interface Total {
  name: string;
  heading: string;
  look: string;
  old: Written;
  new: Written;
  change: Written;
  marks: { old: string; new: string; change: string };
}

/** Two models as one tree. */
export interface Diff extends Tabled {
  view: "diff";
  names: [string, string];
  why: string[];
  warnings: string[];
  moved: string[];
  totals: Total[];
}

/** Several models at two revisions. */
export interface Diffs {
  view: "diffs";
  names: [string, string];
  missing: string[];
  models: { name: string; same: boolean; figures: Total[]; diff: Diff }[];
}

/** A layer of a drawn network, and the maps that it makes. */
export interface Box {
  name: string;
  path: string;
  class: string;
  siblings: number;
  shape: number[];
  shape_text: string;
  params: Written;
  macs: Written;
  mark: string;
}

/** A network of slides. */
export interface Drawn {
  name: string;
  inputs: string;
  params: Written;
  macs: Written;
  mark: string;
  slides: { number: number; title: string }[];
  boxes: Box[];
}

export interface Lecture {
  view: "lecture";
  networks: Drawn[];
}

export interface Axis {
  name: string;
  heading: string;
  look: string;
  /** What is better; empty if that is not known. */
  better: "less" | "more" | "";
}

/** Several models, a row each. */
export interface Comparison extends Tabled {
  view: "compare";
  axes: Axis[];
  /** By both axes' names: the rows that no other one beats, of each group of models that do the same. */
  fronts: Record<string, number[][]>;
  /** What a front is of, where there are several. */
  each: string;
  x: string;
  y: string;
  told: string[];
  warnings: string[];
}

export interface Summary extends Tabled {
  schema: number;
  view: "summary";
  title: string;
  inputs: string;
  lower_bound: boolean;
  profiles?: { intensity: (number | null)[] };
  formulas?: Formulas;
  memory: { runs: Run[]; why: string };
  reach: { found: Reach | null; why: string };
}

export function read(written: Written | undefined): Num | null {
  return written === null || written === undefined ? null : typeof written === "string" ? BigInt(written) : written;
}
