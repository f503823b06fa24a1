// The module tree as a treegrid: only the rows in sight are elements, however many there are.
import { FORMATS, toClipboard, written } from "./copy.ts";
import type { Column, Tabled } from "./data.ts";
import { h } from "./dom.ts";
import { exact } from "./format.ts";
import type { Model } from "./model.ts";
import { comparison, rowsOf, type Sorting } from "./order.ts";
import { matcher } from "./query.ts";
import type { Store } from "./state.ts";
import type { Tree } from "./tree.ts";
import { cellOf, headOf, widthsOf } from "./cells.ts";

const HEIGHT = 27;
const OPEN_ROWS = 60;
/** How a table is laid out that is not of modules. */
export interface Layout {
  title: string;
  /** Whether rows are in each other. */
  nested: boolean;
  /** What may be searched for. */
  hint: string;
}

const TREE: Layout = { title: "Modules", nested: true, hint: "conv  class:linear  params>1M" };

export class Table {
  readonly element: HTMLElement;
  private tree: Tree;
  private readonly open = new Map<Tree, Uint8Array>();
  private rows: Int32Array = new Int32Array();
  private sorting: Sorting | null = null;
  private flat = false;
  private readonly hidden: Set<string>;
  /** The row of the shown tree that has the focus. */
  private active = 0;

  private readonly search = h("input", {
    type: "search", id: "search", spellcheck: "false", autocomplete: "off",
    input: () => this.searched(),
  });
  private readonly count = h("span", { class: "soft count", role: "status" });
  private readonly head = h("div", { role: "row", class: "grid-row grid-head", "aria-rowindex": 1 });
  private readonly body = h("div", { role: "rowgroup", class: "grid-body" });
  private readonly grid = h("div", {
    role: "treegrid", class: "grid", tabindex: 0, "aria-label": "Modules", "aria-readonly": "true",
    keydown: (event: KeyboardEvent) => this.key(event), scroll: () => this.draw(),
    click: (event: MouseEvent) => this.click(event),
  }, h("div", { role: "rowgroup", class: "grid-top" }, this.head), this.body);

  constructor(private readonly model: Model<Tabled>, private readonly store: Store, private readonly kind: Layout = TREE) {
    this.tree = model.folded ?? model.tree;
    this.flat = !kind.nested;
    this.hidden = new Set(model.columns.filter((column) => column.hidden).map((column) => column.name));
    this.grid.setAttribute("aria-label", kind.title);
    this.search.placeholder = kind.hint;
    if (!kind.nested) this.grid.style.height = `min(58vh, ${(this.tree.size + 1) * (HEIGHT + 1) + 6}px)`;
    this.element = h("section", { class: "view table", "aria-labelledby": "table-title" },
      h("div", { class: "title" }, h("h2", { id: "table-title" }, kind.title), this.count),
      this.tools(), this.grid);
    store.on(["row"], () => this.follow());
    store.on(["metric", "device"], () => this.order());
    // the first search need not wait for the paths
    setTimeout(() => [model.tree, this.tree].forEach((tree) => tree.lowerPaths()), 300);
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(this.grid);
    this.active = this.here(store.state.row);
    this.reveal(this.active);
    this.order();
    requestAnimationFrame(() => this.scrollTo(this.active));
  }

  private tools(): HTMLElement {
    const fold = h("input", { type: "checkbox", checked: true, change: () => this.toTree(fold.checked) });
    const flat = h("input", { type: "checkbox", change: () => { this.flat = flat.checked; this.order(); } });
    const said = h("span", { class: "soft", role: "status" });
    const copy = FORMATS.map((format) => h("button", {
      type: "button", click: async () => {
        const { model, tree, rows } = this;
        const done = await toClipboard(written(format, { model, tree, rows, columns: this.shown, device: this.store.state.device }));
        said.textContent = done ? `${exact(rows.length)} rows copied` : "the browser does not allow it";
      },
    }, format));
    const chooser = h("details", { class: "menu" }, h("summary", {}, "Columns"),
      h("div", { class: "choices" }, ...this.model.columns.map((column) => this.choice(column))));
    return h("div", { class: "tools" },
      h("label", { class: "field grow" }, h("span", {}, "Search"), this.search),
      this.model.folded && h("label", { class: "check" }, fold, "fold equal blocks"),
      this.kind.nested && h("label", { class: "check" }, flat, "layers only"),
      this.kind.nested && h("button", { type: "button", click: () => this.openAll(true) }, "Open all"),
      this.kind.nested && h("button", { type: "button", click: () => this.openAll(false) }, "Close all"),
      chooser,
      h("span", { class: "copy", role: "group", "aria-label": "copy the rows shown" }, h("span", {}, "Copy"), ...copy), said);
  }

  private choice(column: Column): HTMLElement {
    const box = h("input", { type: "checkbox", checked: !column.hidden, change: () => {
      if (box.checked) this.hidden.delete(column.name);
      else this.hidden.add(column.name);
      this.layout();
    } });
    return h("label", { class: "check", title: column.meaning }, box, column.heading);
  }

  /** The first column. */
  private get named(): Column {
    return { name: "module", heading: this.model.row, meaning: `name of the ${this.model.row}`, look: "text", right: false, sums: false };
  }

  private get shown(): Column[] {
    return this.model.columns.filter((column) => !this.hidden.has(column.name));
  }

  private toTree(folded: boolean): void {
    this.tree = folded ? (this.model.folded ?? this.model.tree) : this.model.tree;
    this.active = this.here(this.store.state.row);
    this.reveal(this.active);
    this.order();
    this.scrollTo(this.active);
  }

  /** A row of the whole tree in the tree that is shown. */
  private here(row: number): number {
    return this.tree === this.model.tree ? row : this.model.toFolded(row);
  }

  /** Which rows are open; at first as many levels as a screen has rows. */
  private get opened(): Uint8Array {
    let open = this.open.get(this.tree);
    if (!open) {
      const { level } = this.tree.rows;
      const counts = new Array<number>(this.tree.depth).fill(0);
      for (const each of level) counts[each]!++;
      let [depth, sum] = [1, counts[0]! + (counts[1] ?? 0)];
      while (depth + 1 < counts.length && (sum += counts[depth + 1]!) <= OPEN_ROWS) depth++;
      open = Uint8Array.from(level, (each) => (each < depth ? 1 : 0));
      this.open.set(this.tree, open);
    }
    return open;
  }

  private openAll(open: boolean): void {
    this.opened.fill(open ? 1 : 0);
    this.opened[0] = 1;
    this.order();
  }

  private reveal(row: number): void {
    for (const above of this.tree.above(row).slice(0, -1)) this.opened[above] = 1;
  }

  /** Where nothing is searched for any more, what is chosen stays in sight. */
  private searched(): void {
    const none = !this.search.value.trim();
    if (none) this.reveal(this.active);
    this.order();
    if (none) this.scrollTo(this.active);
  }

  /** Decides anew which rows there are. */
  private order(): void {
    const { tree, model } = this;
    const { device } = this.store.state;
    const sized = (column: string) => column === "seconds" || tree.columns[column] ? model.sizes(tree, column, device) : null;
    const numbers = Object.fromEntries([...model.columns.map((each) => each.name), "traffic"]
      .map((name) => [name, sized(name)] as const).filter((each): each is [string, (row: number) => number | null] => !!each[1]));
    const test = matcher(this.search.value, tree, numbers);
    this.rows = rowsOf(tree, { open: this.opened, test, flat: this.flat, compare: comparison(tree, this.sorting, sized) });
    const size = this.flat ? this.rows.length : tree.size;
    this.count.textContent = `${exact(this.rows.length)} of ${exact(Math.max(size, tree.size))} rows`;
    this.layout();
  }

  private layout(): void {
    const columns = [this.named, ...this.shown];
    const { metric } = this.store.state;
    this.grid.style.setProperty("--columns", widthsOf(this.model, this.tree, columns, this.store.state.device));
    this.grid.setAttribute("aria-rowcount", String(this.rows.length + 1));
    this.grid.setAttribute("aria-colcount", String(columns.length));
    this.head.replaceChildren(...columns.map((column) => headOf(column, this.sorting, column.name === metric, () => this.sort(column))));
    this.body.style.height = `${this.rows.length * HEIGHT}px`;
    this.draw();
  }

  private sort(column: Column): void {
    const first = column.right;
    const now = this.sorting?.column === column.name ? this.sorting.descending : null;
    this.sorting = now === null ? { column: column.name, descending: first } : now === first ? { column: column.name, descending: !first } : null;
    this.order();
    this.head.querySelector<HTMLElement>(`[data-column="${column.name}"] button`)?.focus();
  }

  private draw(): void {
    const columns = [this.named, ...this.shown];
    // a list that has become shorter is clamped by the browser later, in its own time
    const lowest = this.rows.length * HEIGHT - (this.grid.clientHeight - this.head.offsetHeight);
    const first = Math.max(0, Math.floor(Math.min(this.grid.scrollTop, Math.max(0, lowest)) / HEIGHT) - 4);
    const last = Math.min(this.rows.length, first + Math.ceil(this.grid.clientHeight / HEIGHT) + 8);
    const drawn: HTMLElement[] = [];
    for (let i = first; i < last; i++) drawn.push(this.row(i, columns));
    this.body.replaceChildren(...drawn);
    const at = this.rows.indexOf(this.active);
    if (at >= first && at < last) this.grid.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  private row(index: number, columns: Column[]): HTMLElement {
    const { tree, model } = this;
    const row = this.rows[index]!;
    const chosen = row === this.active;
    const inner = !tree.leaf(row) && !this.flat;
    const open = inner && (this.search.value.trim() ? this.rows[index + 1] !== undefined && tree.parent[this.rows[index + 1]!] === row : !!this.opened[row]);
    const element = h("div", {
      role: "row", id: `row-${row}`, class: `grid-row${chosen ? " chosen" : ""}${tree.rows.biggest.includes(row) ? " big" : ""}`,
      "data-row": row, "aria-rowindex": index + 2, "aria-level": this.flat ? 1 : tree.rows.level[row]! + 1,
      "aria-selected": chosen ? "true" : "false", "aria-expanded": inner ? String(open) : null,
    }, ...columns.map((column) => cellOf(model, tree, column, row, this.store.state, this.flat)));
    element.style.top = `${index * HEIGHT}px`;
    return element;
  }

  private click(event: MouseEvent): void {
    const element = (event.target as Element).closest<HTMLElement>("[data-row]");
    if (!element) return;
    const row = Number(element.dataset.row);
    if ((event.target as Element).closest(".twist")) this.toggle(row, !this.opened[row]);
    this.choose(row);
  }

  private toggle(row: number, open: boolean): void {
    if (this.tree.leaf(row) || this.flat) return;
    this.opened[row] = open ? 1 : 0;
    this.order();
  }

  private choose(row: number): void {
    this.active = row;
    this.scrollTo(row);
    this.draw();
    this.store.set({ row: this.tree.rows.first?.[row] ?? row });
  }

  /** Another view has chosen a row. */
  private follow(): void {
    const row = this.here(this.store.state.row);
    if (row === this.active || (this.tree.rows.first && this.tree.rows.first[this.active] === this.store.state.row)) return;
    this.active = row;
    if (!this.rows.includes(row)) {
      this.reveal(row);
      this.order();
    }
    this.scrollTo(row);
    this.draw();
  }

  private scrollTo(row: number): void {
    const at = this.rows.indexOf(row);
    if (at < 0) return;
    const [top, room] = [at * HEIGHT, this.grid.clientHeight - this.head.offsetHeight - HEIGHT];
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + room) this.grid.scrollTop = top - room;
  }

  private key(event: KeyboardEvent): void {
    if ((event.target as Element) !== this.grid || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = Math.max(0, this.rows.indexOf(this.active));
    const page = Math.max(1, Math.floor(this.grid.clientHeight / HEIGHT) - 2);
    const row = this.rows[at]!;
    const open = !!this.opened[row] && !this.tree.leaf(row) && !this.flat;
    const moves: Record<string, () => void> = {
      ArrowDown: () => this.go(at + 1), ArrowUp: () => this.go(at - 1), Home: () => this.go(0),
      End: () => this.go(this.rows.length - 1), PageDown: () => this.go(at + page), PageUp: () => this.go(at - page),
      ArrowRight: () => (open || this.tree.leaf(row) || this.flat ? this.go(at + 1) : this.toggle(row, true)),
      ArrowLeft: () => (open ? this.toggle(row, false) : this.go(this.rows.indexOf(this.tree.parent[row]!))),
      Enter: () => this.toggle(row, !open), " ": () => this.toggle(row, !open),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  private go(index: number): void {
    const row = this.rows[Math.min(Math.max(0, index), this.rows.length - 1)];
    if (row !== undefined) this.choose(row);
  }
}
