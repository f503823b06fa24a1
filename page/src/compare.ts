// The page of several models: a scatter of any two figures with its Pareto front, all of them as parallel axes, a table.
import type { Comparison } from "./data.ts";
import { h } from "./dom.ts";
import { Model } from "./model.ts";
import { Parallel } from "./parallel.ts";
import { scatter } from "./scatter.ts";
import { small } from "./small.ts";
import { Store } from "./state.ts";
import { Table } from "./table.ts";
import "./change.css";

class Models extends Model<Comparison> {
  override readonly row = "model";
}

const LAYOUT = { title: "Models", nested: false, hint: "resnet  params<30M" };

export function comparison(data: Comparison, place: HTMLElement): void {
  const model = new Models(data);
  const store = new Store({ row: 0, metric: "", device: "" });
  const found: { parallel?: Parallel; dots?: ReturnType<typeof scatter> } = {};
  found.dots = scatter(model, store, () => (row) => found.parallel?.kept(row) ?? true);
  found.parallel = new Parallel(model, store, () => found.dots!.mark());
  const list = (css: string, texts: string[]) => texts.length > 0 && h("ul", { class: css }, ...texts.map((text) => h("li", {}, text)));
  const told = h("div", { class: "view" }, list("soft why", data.told), list("warnings", data.warnings));
  const table = new Table(model, store, LAYOUT).element;
  place.append(h("div", { class: "cnncost views several" }, told, found.dots.element, found.parallel.element, table));
  small(place, [["One against the other", [told, found.dots.element]], ["All figures", [found.parallel.element]], ["Models", [table]]]);
}
