// Bundles the page into the Python package: index.html (with its style), the script, and the one of the workers that decode.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = (path) => new URL(path, import.meta.url);
const target = here("../omezarr_proc/viewer/");

mkdirSync(target, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here(".").pathname,
  entryPoints: { viewer: "src/main.js", decoder: "src/zarr/decoder.js" },
  outdir: target.pathname,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  platform: "browser",
  legalComments: "none",
  charset: "utf8",
  metafile: true,
});
const style = readFileSync(here("src/style.css"), "utf8");
writeFileSync(new URL("index.html", target), readFileSync(here("src/index.html"), "utf8").replace("/* style */", () => `\n${style}`));

// What of others is in the scripts, and its licences.
const folders = new Set(Object.keys(metafile.inputs).map((path) => path.match(/^(?:.*node_modules\/)(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean));
const licenses = [...folders].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(here(`${folder}/package.json`), "utf8"));
  const file = readdirSync(here(folder)).find((one) => /^licen[cs]e/i.test(one));
  return `${name} ${version}: ${license}\n\n${file ? readFileSync(here(`${folder}/${file}`), "utf8").trim() : "(no licence text in the package)"}\n`;
});
writeFileSync(new URL("LICENSES.txt", target), `The page holds these packages.\n\n${licenses.join(`\n${"-".repeat(80)}\n\n`)}`);
for (const [path, { bytes }] of Object.entries(metafile.outputs)) console.log(`${(bytes / 1024).toFixed(0).padStart(6)} kB  ${path.split("/").at(-1)}`);
