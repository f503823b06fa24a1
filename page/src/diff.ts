// The page of two models: one tree of both, coloured by what changed.
import { read, type Diff, type Total } from "./data.ts";
import { h, select, type Child } from "./dom.ts";
import { shown } from "./format.ts";
import { icicle } from "./icicle.ts";
import { Model, type Metric } from "./model.ts";
import { small } from "./small.ts";
import { Store } from "./state.ts";
import { Table } from "./table.ts";
import "./change.css";

const STATES: Record<string, string> = {
  same: "the same in both", inside: "modules in it changed", changed: "changed", added: "only after", removed: "only before",
};
/** From what part of the larger side on a change is drawn stronger. */
const STEPS = [0.1, 0.5];

class Changes extends Model<Diff> {
  /** By which figure bands are coloured. */
  metric = "macs";

  override css(row: number): string {
    const state = this.tree.rows.state![row]!;
    const [old, now] = this.sides(row, this.metric);
    const most = Math.max(old, now);
    if (!most || old === now) return state === "same" ? "same" : "touched";
    const size = 1 + STEPS.filter((step) => Math.abs(now - old) >= step * most).length;
    return `${now > old ? "grow" : "shrink"}${size}${state === "added" || state === "removed" ? " whole" : ""}`;
  }

  override legend(): [string, string][] {
    return [
      ["shrink3 whole", "removed"], ["shrink3", "less, by half or more"], ["shrink2", "less, by a tenth or more"],
      ["shrink1", "less, by under a tenth"], ["same", "the same"], ["touched", "changed at the same size"], ["grow1", "more, by under a tenth"],
      ["grow2", "more, by a tenth or more"], ["grow3", "more, by half or more"], ["grow3 whole", "added"],
    ];
  }

  override told(row: number, metric: Metric): [string, string] {
    const { tree } = this;
    const text = (side: string): string => this.cell(tree, { ...metric, name: `${metric.name}_${side}` }, row, "");
    const change = this.cell(tree, { name: `${metric.name}_change`, heading: "", look: `signed_${metric.look}` }, row, "");
    const state = tree.rows.state![row]!;
    return [
      [tree.text("class", row), tree.text("what", row) || STATES[state]!].filter(Boolean).join(", "),
      `${metric.heading}: ${text("old")} → ${text("new")} (${change})`,
    ];
  }

  private sides(row: number, metric: string): [number, number] {
    const side = (name: string): number => Number(this.tree.number(`${metric}_${name}`, row) ?? 0);
    return [side("old"), side("new")];
  }
}

export function diff(data: Diff, place: HTMLElement): void {
  const model = new Changes(data);
  const first = data.totals.find((total) => total.change !== 0)?.name ?? "macs";
  model.metric = model.metrics.some((metric) => metric.name === first) ? first : (model.metrics[0]?.name ?? "macs");
  const store = new Store({ row: 0, metric: model.metric, device: "" });
  store.on(["metric"], ({ metric }) => (model.metric = metric));
  const metrics = model.metrics.map((metric) => ({ value: metric.name, text: metric.heading }));
  const both = h("section", { class: "view totals-of-both", "aria-labelledby": "totals-title" },
    h("h2", { id: "totals-title" }, "Before and after"), totals(data), ...sentences(data));
  const [goes, table, chosen] = [icicle(model, store, "What changed"), new Table(model, store).element, inspector(model, store)];
  const views = h("div", { class: "cnncost views several" }, both, goes, table, chosen);
  place.append(
    h("div", { class: "cnncost controls" }, select("Sizes by", new Map([["", metrics]]), store.state.metric, (metric) => store.set({ metric }))),
    views);
  small(place, [["Before and after", [both]], ["What changed", [goes, chosen]], ["Modules", [table]]]);
}

function sentences(data: Diff): HTMLElement[] {
  const list = (css: string, texts: string[]) => texts.length ? [h("ul", { class: css }, ...texts.map((text) => h("li", {}, text)))] : [];
  const moved = data.moved.length
    ? [h("details", {}, h("summary", {}, `renamed or moved: ${data.moved.length}`), ...list("moved", data.moved))] : [];
  const none = !data.why.length && !data.rows.state!.some((state) => state !== "same");
  return [
    ...list("why", none ? ["the same, module by module"] : data.why),
    ...list("warnings", data.warnings), ...moved,
  ];
}

function totals(data: Diff): HTMLElement {
  const cell = (total: Total, side: "old" | "new" | "change"): HTMLElement => {
    const value = read(total[side])!;
    const css = side === "change" && value ? ` ${value > 0 ? "grew" : "shrank"}` : "";
    return h("td", { class: `n${css}`, "data-total": `${total.name}_${side}` },
      total.marks[side] + shown(side === "change" ? `signed_${total.look}` : total.look, value));
  };
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "figures of both models" }, h("table", { class: "totals-table" },
    h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col", class: "n" }, data.names[0]), h("th", { scope: "col", class: "n" }, data.names[1]), h("th", { scope: "col", class: "n" }, "change"))),
    h("tbody", {}, ...data.totals.map((total) =>
      h("tr", {}, h("th", { scope: "row" }, total.heading), cell(total, "old"), cell(total, "new"), cell(total, "change"))))));
}

function inspector(model: Changes, store: Store): HTMLElement {
  const { tree } = model;
  const body = h("div", { class: "inspected" });

  function draw(): void {
    const { row } = store.state;
    const state = tree.rows.state![row]!;
    const [was, note, what] = [tree.text("old", row), tree.note(row), tree.text("what", row)];
    const crumbs = tree.above(row).slice(0, -1).map((above) =>
      h("button", { type: "button", click: () => store.set({ row: above }) }, above ? tree.rows.name[above]! : tree.label(0)));
    body.replaceChildren(
      h("nav", { class: "crumbs", "aria-label": "modules above the chosen one" }, ...crumbs),
      h("h3", { class: "path" }, tree.label(row)),
      h("p", { class: "soft" }, [tree.text("class", row), STATES[state]!, note].filter(Boolean).join(", ")),
      ...(what && what !== state ? [h("p", { class: "what" }, what)] : []),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "figures of the chosen module" }, figures(row)),
      ...(was && state === "removed" ? [h("p", { class: "soft" }, `${was} of ${model.data.names[0]}`)] : []),
    );
  }

  function figures(row: number): HTMLElement {
    const line = (metric: Metric): Child => h("tr", {}, h("th", { scope: "row" }, metric.heading),
      ...["old", "new", "change"].map((side) => {
        const name = `${metric.name}_${side}`;
        const column = { ...metric, name, look: side === "change" ? `signed_${metric.look}` : metric.look };
        const value = tree.number(name, row);
        const css = side === "change" && value ? ` ${value > 0 ? "grew" : "shrank"}` : "";
        return h("td", { class: `n${css}`, "data-column": name }, model.cell(tree, column, row, ""));
      }));
    return h("table", { class: "totals-table" },
      h("thead", {}, h("tr", {}, h("td", {}), ...["before", "after", "change"].map((text) => h("th", { scope: "col", class: "n" }, text)))),
      h("tbody", {}, ...model.metrics.map(line)));
  }

  store.on(["row"], draw);
  draw();
  return h("section", { class: "view inspector", "aria-labelledby": "inspector-title", "aria-live": "polite" },
    h("div", { class: "title" }, h("h2", { id: "inspector-title" }, "The chosen module")), body);
}
