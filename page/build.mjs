// Builds cnncost/render/page.js and page.css from src/: one file each, minified, without a date or a path in it.
import { build } from "esbuild";
import { mkdir, readFile } from "node:fs/promises";

const out = process.argv[2] ?? new URL("../cnncost/render/", import.meta.url).pathname;
await mkdir(out, { recursive: true });
const notice = await readFile(new URL("NOTICE", import.meta.url), "utf8");
await build({
  banner: { js: `/*!\n${notice}*/` },
  entryPoints: { page: new URL("src/main.ts", import.meta.url).pathname },
  outdir: out,
  bundle: true,
  minify: true,
  charset: "utf8",
  target: ["chrome110", "firefox115", "safari16"],
  format: "iife",
  legalComments: "none",
  logLevel: "warning",
});
