// Elements by one call each.

export type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

const SVG = "http://www.w3.org/2000/svg";

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML; functions among its attributes listen to the event of that name. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Names a chart for screen readers. Call it when the chart is drawn: an image without a name is a fault. */
export function picture(drawn: Element, text: string): void {
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", text);
}

/** A select with its label; `groups` are options by the heading that they stand under, "" for none. */
export function select(
  label: string, groups: Map<string, { value: string; text: string; title?: string; disabled?: boolean }[]>,
  value: string, change: (value: string) => void,
): HTMLLabelElement {
  const box = h("select", { change: () => change(box.value) });
  for (const [heading, options] of groups) {
    const made = options.map((o) => h("option", { value: o.value, title: o.title, disabled: o.disabled }, o.text));
    box.append(...(heading ? [h("optgroup", { label: heading }, ...made)] : made));
  }
  box.value = value;
  return h("label", { class: "field" }, h("span", {}, label), box);
}

let tip: HTMLElement | undefined;

/** Shows lines beside the pointer; nothing hides them. */
export function tooltip(event: PointerEvent | null, ...lines: Child[]): void {
  tip ??= document.body.appendChild(h("div", { class: "cnncost tip", "aria-hidden": "true" }));
  tip.hidden = event === null;
  if (event === null) return;
  tip.replaceChildren(...lines.filter((line): line is Node | string => !!line));
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 10 : event.clientX + 14;
  const top = event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16;
  tip.style.transform = `translate(${Math.max(2, left)}px, ${Math.max(2, top)}px)`;
}

/** Calls in the frame after an element has another width. */
export function onWidth(element: Element, call: () => void): void {
  let width = -1;
  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    requestAnimationFrame(call);
  }).observe(element);
}
