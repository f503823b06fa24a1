// The rows of the table as text for elsewhere: markdown, CSV with exact numbers, LaTeX by booktabs.
import type { Column, Tabled } from "./data.ts";
import type { Model } from "./model.ts";
import type { Tree } from "./tree.ts";

export type Format = "Markdown" | "CSV" | "LaTeX";
export const FORMATS: Format[] = ["Markdown", "CSV", "LaTeX"];

export interface Copied {
  model: Model<Tabled>;
  tree: Tree;
  rows: Iterable<number>;
  columns: Column[];
  device: string;
}

export function written(format: Format, what: Copied): string {
  return { Markdown: markdown, CSV: csv, LaTeX: latex }[format](what);
}

function name(tree: Tree, row: number): string {
  return [tree.label(row), tree.note(row, true)].filter(Boolean).join(" ");
}

function heading(column: Column, what: Copied): string {
  return column.name === "seconds" ? `time on ${what.device}` : column.heading;
}

function markdown(what: Copied): string {
  const { model, tree, columns, device } = what;
  const lines = [
    line([model.row, ...columns.map((column) => heading(column, what))]),
    line([":--", ...columns.map((column) => (column.right ? "--:" : ":--"))]),
  ];
  for (const row of what.rows) {
    const cells = columns.map((column) => model.cell(tree, column, row, device).replace(MARKDOWN, "\\$&"));
    lines.push(line([name(tree, row).replace(MARKDOWN, "\\$&"), ...cells]));
  }
  return `${lines.join("\n")}\n`;
}

const MARKDOWN = /[\\`*{}[\]<>#|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])/g;

function line(cells: string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Numbers are exact, bytes and seconds without units; the last column says which rows are lower bounds. */
function csv(what: Copied): string {
  const { model, tree, columns, device } = what;
  const names = columns.map((column) => (column.name === "seconds" ? `seconds_${device}` : column.name));
  const modules = model.row === "module";
  const lines = [[...(modules ? ["path", "share_of", "modules"] : [model.row]), ...names, modules ? "unknown" : "lower_bound"].map(quoted).join(",")];
  for (const row of what.rows) {
    const values = columns.map((column) => {
      const value = model.number(tree, column.name, row, device);
      return value === null ? tree.text(column.name, row).replaceAll("×", "x") : value.toString();
    });
    const own = tree.own.has(row) ? "own" : "";
    const path = tree.rows.labels[row]?.replace(/ \(own\)$/, "") ?? tree.path(row);
    const about = modules ? [path, own, String(tree.rows.together[row] ?? 1)] : [tree.label(row)];
    const bounds = columns.map((column) => column.name).filter((column) => tree.mark(column, row)).join(" ");
    lines.push([...about, ...values, modules ? (tree.mark("flops", row) ? "True" : "False") : bounds].map(quoted).join(","));
  }
  return `${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const SIGNS: Record<string, string> = {
  "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%", _: "\\_",
  "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
  "|": "\\textbar{}", "×": "$\\times$", "≥": "$\\ge$", "≤": "$\\le$", "–": "--", "…": "\\dots{}", µ: "\\textmu{}",
};

function escaped(text: string): string {
  return text.replace(/[\\{}$&#%_~^<>|×≥≤–…µ]/g, (sign) => SIGNS[sign]!);
}

function latex(what: Copied): string {
  const { model, tree, columns, device } = what;
  const lines = [
    "% needs \\usepackage{booktabs}",
    `\\begin{tabular}{@{}l${columns.map((column) => (column.right ? "r" : "l")).join("")}@{}}`,
    "  \\toprule",
    `  ${[model.row, ...columns.map((column) => heading(column, what))].map(escaped).join(" & ")} \\\\`,
    "  \\midrule",
  ];
  for (const row of what.rows) {
    const cells = [name(tree, row), ...columns.map((column) => model.cell(tree, column, row, device))];
    lines.push(`  ${cells.map(escaped).join(" & ")} \\\\`);
  }
  return `${[...lines, "  \\bottomrule", "\\end{tabular}"].join("\n")}\n`;
}

/** Puts a text on the clipboard; false where the browser allows it by no way. */
export async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
