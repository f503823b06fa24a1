// The page as a frame in a notebook: one view at a time, by buttons; all of them where the frame fills the screen.
import { h } from "./dom.ts";

type Tab = [title: string, views: HTMLElement[]];

/** Puts buttons for the views before all in `place`, if the page is small. */
export function small(place: HTMLElement, tabs: Tab[]): void {
  const root = document.documentElement;
  if (!root.classList.contains("small")) return;
  const buttons = tabs.map(([title], i) => h("button", { type: "button", click: () => show(i) }, title));
  const show = (chosen: number): void => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    tabs.forEach(([, views], i) => views.forEach((view) => view.classList.toggle("away", i !== chosen)));
  };
  const fill = h("button", { type: "button", class: "fill", click: () => void root.requestFullscreen().catch(() => fill.remove()) }, "Full screen");
  addEventListener("fullscreenchange", () => root.classList.toggle("small", !document.fullscreenElement));
  const bar = h("nav", { class: "tabs", "aria-label": "views" }, ...buttons, document.fullscreenEnabled && fill);
  const controls = place.querySelector<HTMLElement>(".controls") ?? h("div", { class: "cnncost controls" });
  controls.prepend(bar);
  place.prepend(controls);
  show(0);
}
