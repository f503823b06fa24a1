// Starts the page: reads the data that stands in it, and draws the views of its kind.
import { comparison } from "./compare.ts";
import type { Comparison, Diff, Diffs, Lecture, Summary } from "./data.ts";
import { diff } from "./diff.ts";
import { diffs } from "./diffs.ts";
import { lecture } from "./lecture.ts";
import { summary } from "./summary.ts";
import "./page.css";
import "./small.css";

const VIEWS: Record<string, (data: never, place: HTMLElement) => void> = {
  summary: (data: Summary, place) => summary(data, place),
  diff: (data: Diff, place) => diff(data, place),
  diffs: (data: Diffs, place) => diffs(data, place),
  lecture: (data: Lecture, place) => lecture(data, place),
  compare: (data: Comparison, place) => comparison(data, place),
};

function start(): void {
  const place = document.getElementById("page");
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "null") as { view: string } | null;
  const view = data && VIEWS[data.view];
  if (!place || !view) throw new Error(`cnncost: no view ${data?.view ?? ""} in this page`);
  view(data as never, place);
  // paper shows what is closed on a screen, too
  addEventListener("beforeprint", () => document.querySelectorAll<HTMLDetailsElement>(".static details").forEach((each) => (each.open = true)));
}

start();
