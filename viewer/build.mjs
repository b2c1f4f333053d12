// Bundles the page: index.html (with its style) and one script, into the Python package.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = (path) => new URL(path, import.meta.url);
const target = here("../omezarr_proc/viewer/");

// Viv's loaders read TIFF too, luma.gl reflects on WebGPU shaders, zarrita knows codecs that no dataset of ours has: none is reached from here.
const LEFT_OUT = /^(geotiff|lzw-tiff-decoder|wgsl_reflect.*|numcodecs\/(zstd|lz4))$/;
const leaveOut = {
  name: "leave-out",
  setup(bundler) {
    bundler.onResolve({ filter: LEFT_OUT }, ({ path }) => ({ path, namespace: "left-out" }));
    bundler.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: path.startsWith("numcodecs/")
        ? `export default { fromConfig() { throw new Error("this page does not hold the codec ${path.slice(10)}") } };`
        : "export class BaseDecoder {} export class GeoTIFFImage {} export class WgslReflect {} export const addDecoder = () => {}; "
          + "export const decompress = null, fromBlob = null, fromFile = null, fromUrl = null;",
    }));
  },
};

mkdirSync(target, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here(".").pathname,
  entryPoints: ["src/main.js"],
  outfile: here("../omezarr_proc/viewer/viewer.js").pathname,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  platform: "browser",
  mainFields: ["module", "main"],
  define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  plugins: [leaveOut],
});
const style = readFileSync(here("src/style.css"), "utf8");
writeFileSync(new URL("index.html", target), readFileSync(here("src/index.html"), "utf8").replace("/* style */", () => `\n${style}`));

// What is in the script, by package, and the licences of it all.
const sizes = new Map();
for (const [path, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0].inputs)) {
  const folder = path.match(/^(?:.*node_modules\/)(?:@[^/]+\/)?[^/]+/)?.[0];
  if (folder && bytesInOutput) sizes.set(folder, (sizes.get(folder) ?? 0) + bytesInOutput);
}
const licenses = [...sizes.keys()].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(here(`${folder}/package.json`), "utf8"));
  const file = readdirSync(here(folder)).find((one) => /^licen[cs]e/i.test(one));
  return `${name} ${version}: ${license}\n\n${file ? readFileSync(here(`${folder}/${file}`), "utf8").trim() : "(no licence text in the package)"}\n`;
});
writeFileSync(new URL("LICENSES.txt", target), `viewer.js holds these packages.\n\n${licenses.join(`\n${"-".repeat(80)}\n\n`)}`);
for (const [folder, bytes] of [...sizes].sort((a, b) => b[1] - a[1]).slice(0, 12)) console.log(`${(bytes / 1024).toFixed(0).padStart(6)} kB  ${folder.slice(13)}`);
