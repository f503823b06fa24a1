// The page of one model: its views, linked by what is chosen.
import type { Summary } from "./data.ts";
import { h, select } from "./dom.ts";
import { icicle } from "./icicle.ts";
import { inspector } from "./inspector.ts";
import { memory } from "./memory.ts";
import { Model } from "./model.ts";
import { receptiveField } from "./reach.ts";
import { roofline } from "./roofline.ts";
import { small } from "./small.ts";
import { Store } from "./state.ts";
import { Table } from "./table.ts";

const FIRST_DEVICE = "h100";
const KINDS: Record<string, string> = { gpu: "GPUs", cpu: "CPUs", phone: "phones", dsp: "signal processors", other: "others" };

export function summary(data: Summary, place: HTMLElement): void {
  const model = new Model(data);
  const usable = model.devices.filter((device) => device.seconds);
  const device = (usable.find((each) => each.name === FIRST_DEVICE) ?? usable[0])?.name ?? "";
  const store = new Store({ row: addressed(model), metric: model.metrics[0]?.name ?? "params", device });
  const views = h("div", { class: "cnncost views" });
  place.append(h("div", { class: "cnncost controls" }, ...controls(model, store)), views);
  const [goes, table, chosen, over, roof, field] = [icicle(model, store), new Table(model, store).element, inspector(model, store),
    memory(model, store), roofline(model, store), receptiveField(model, store)];
  views.append(goes, table, chosen, over, roof, field);
  small(place, [["Where it goes", [goes, chosen]], ["Modules", [table]], ["Memory", [over]], ["Roofline", [roof]], ["Receptive field", [field]]]);
  store.on(["row"], ({ row }) => remember(model, row));
}

/** The module that the page's address names behind the #, which follows what is chosen. */
function addressed(model: Model): number {
  const path = decodeURIComponent(location.hash.slice(1)).toLowerCase();
  return path ? Math.max(0, model.tree.lowerPaths().indexOf(path)) : 0;
}

function remember(model: Model, row: number): void {
  if (location.protocol === "about:") return; // a frame in a notebook has no address
  history.replaceState(null, "", `#${encodeURIComponent(row ? model.tree.label(row) : "")}`);
}

function controls(model: Model, store: Store): HTMLElement[] {
  const metrics = model.metrics.map((metric) => ({ value: metric.name, text: metric.heading }));
  const found = [select("Sizes by", new Map([["", metrics]]), store.state.metric, (metric) => store.set({ metric }))];
  const groups = new Map<string, { value: string; text: string; title?: string; disabled?: boolean }[]>();
  for (const device of model.devices) {
    const kind = KINDS[device.kind] ?? device.kind;
    groups.set(kind, [...(groups.get(kind) ?? []), {
      value: device.name, text: device.title, title: device.error ?? device.source, disabled: !device.seconds,
    }]);
  }
  if (store.state.device) found.push(select("Device", groups, store.state.device, (device) => store.set({ device })));
  return found;
}
