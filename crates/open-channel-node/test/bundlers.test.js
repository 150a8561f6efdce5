// Programs bundled in the usual ways, moved to where nothing else is but their addon.
"use strict";
const { test, scratch, fixture, within, start } = require("./harness.js");
const { installed, root, platform, addon } = require("./packed.js");
const { before } = require("node:test");
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const app = path.join(scratch, "app");
const program = (kind) => path.join(app, `program.${kind}`);
const packagedAddon = path.join(app, "node_modules", platform, addon);
const limit = { timeout: 90_000 };
// The oldest Node for which the package is cannot make single executables, nor run ncc.
const since20 = { ...limit, skip: Number(process.versions.node.split(".")[0]) < 20 };

before(() => {
  installed(app);
  for (const kind of ["mjs", "cjs"]) fs.copyFileSync(fixture(`bundled.${kind}`), program(kind));
});

const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

let places = 0;
/** A folder far from every package. */
const elsewhere = () => fs.mkdtempSync(path.join(scratch, `moved-${++places}-`));

/** Runs a program in a folder, and makes sure that its addon is from there, too. */
async function runs(folder, command, { from = folder, env } = {}) {
  const child = start(command[0], command.slice(1), { cwd: folder, env });
  const { code } = await within(child.ended, "its end");
  assert.equal(code, 0, child.lines.join("\n"));
  const { said, addon: loaded } = JSON.parse(child.lines[0]);
  assert.equal(said, "hello, too");
  assert.ok(loaded.startsWith(fs.realpathSync(from)), `${loaded} is not from ${from}`);
}
/** Rollup leaves it to the program where optional packages come from: the addon is beside it. */
async function rolled(input, file, format) {
  const { rollup } = require("rollup");
  const bundle = await rollup({
    input,
    external: [/^node:/, /^open-channel-/],
    plugins: [
      require("@rollup/plugin-node-resolve").default(),
      require("@rollup/plugin-commonjs")(),
    ],
    onwarn: (warning) => assert.fail(warning.message),
  });
  await bundle.write({ file, format });
  await bundle.close();
  fs.copyFileSync(packagedAddon, path.join(path.dirname(file), addon));
}

const runsScript = (folder, script, options) =>
  runs(folder, [process.execPath, path.join(folder, script)], options);

for (const [kind, format, extension] of [
  ["mjs", "esm", "mjs"],
  ["mjs", "cjs", "cjs"],
  ["cjs", "cjs", "cjs"],
]) {
  test(
    `esbuild makes one ${extension} of a program in ${kind}, and it runs elsewhere`,
    limit,
    async () => {
      const folder = elsewhere();
      const { warnings } = await require("esbuild").build({
        entryPoints: [program(kind)],
        outfile: path.join(folder, `bundle.${extension}`),
        bundle: true,
        platform: "node",
        format,
        loader: { ".node": "copy" },
        assetNames: "[name]",
        // Needed by esbuild for every CommonJS package in an ES module.
        banner: format === "esm" ? { js: REQUIRE } : {},
        logLevel: "silent",
      });
      assert.deepEqual(warnings, []);
      await runsScript(folder, `bundle.${extension}`);
    },
  );

  test(
    `Rollup makes one ${extension} of a program in ${kind}, and it runs elsewhere`,
    limit,
    async () => {
      const folder = elsewhere();
      await rolled(program(kind), path.join(folder, `bundle.${extension}`), format);
      await runsScript(folder, `bundle.${extension}`);
    },
  );
}

for (const [what, name] of [
  ["a program", "mycli"],
  ["a test runner", "mocha"],
]) {
  test(`an ES module that is ${what} in node_modules runs`, limit, async () => {
    const folder = elsewhere();
    const place = path.join(folder, "node_modules", name);
    fs.mkdirSync(place, { recursive: true });
    fs.writeFileSync(path.join(place, "package.json"), JSON.stringify({ name, type: "module" }));
    await require("esbuild").build({
      entryPoints: [program("mjs")],
      outfile: path.join(place, "esbuild.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      loader: { ".node": "copy" },
      assetNames: "[name]",
      banner: { js: REQUIRE },
      logLevel: "silent",
    });
    await runsScript(place, "esbuild.mjs");
    await rolled(program("mjs"), path.join(place, "rollup.mjs"), "esm");
    await runsScript(place, "rollup.mjs");
  });
}

test("a bundle whose folder is said relative to something runs elsewhere", limit, async () => {
  const folder = elsewhere();
  await require("esbuild").build({
    entryPoints: [program("cjs")],
    outfile: path.join(folder, "bundle.cjs"),
    bundle: true,
    platform: "node",
    define: { __dirname: '"node_modules/open-channel/dist"' },
    loader: { ".node": "copy" },
    assetNames: "[name]",
    logLevel: "silent",
  });
  await runsScript(folder, "bundle.cjs");
});

for (const kind of ["mjs", "cjs"]) {
  test(`webpack bundles a program in ${kind}, and it runs elsewhere`, limit, async () => {
    const folder = elsewhere();
    const stats = await new Promise((resolve, reject) => {
      const config = {
        devtool: false,
        mode: "development",
        target: "node",
        context: app,
        entry: program(kind),
        output: { path: folder, filename: "bundle.cjs" },
        module: {
          rules: [
            {
              test: /\.node$/,
              loader: require.resolve("node-loader"),
              options: { name: "[name].[ext]" },
            },
          ],
        },
      };
      require("webpack")(config, (error, stats) => (error ? reject(error) : resolve(stats)));
    });
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    assert.deepEqual(errors, []);
    // The packages of other platforms are not there.
    for (const { message } of warnings)
      assert.match(message, /^Module not found: .*open-channel-linux-/);
    await runsScript(folder, "bundle.cjs");
  });

  test(`@vercel/ncc bundles a program in ${kind}, and it runs elsewhere`, since20, async () => {
    const folder = elsewhere();
    const { code, assets } = await require("@vercel/ncc")(program(kind), {
      quiet: true,
      cache: false,
    });
    for (const [name, { source, permissions }] of Object.entries({
      ...assets,
      [`index.${kind}`]: { source: code },
    })) {
      fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      fs.writeFileSync(path.join(folder, name), source, { mode: permissions });
    }
    await runsScript(folder, `index.${kind}`);
  });

  test(
    `@vercel/nft finds all files of a program in ${kind}, and they run elsewhere`,
    limit,
    async () => {
      const folder = elsewhere();
      const { fileList } = await require("@vercel/nft").nodeFileTrace([program(kind)], {
        base: app,
      });
      for (const file of fileList) {
        fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
        fs.copyFileSync(path.join(app, file), path.join(folder, file));
      }
      await runsScript(folder, `program.${kind}`);
    },
  );
}

test(
  "a single executable finds its addon beside it, or where OPEN_CHANNEL_ADDON says",
  since20,
  async () => {
    const [build, folder, other] = [elsewhere(), elsewhere(), elsewhere()];
    const bundle = path.join(build, "bundle.cjs");
    await require("esbuild").build({
      entryPoints: [program("cjs")],
      outfile: bundle,
      bundle: true,
      platform: "node",
      external: ["open-channel-*"],
    });
    const blob = path.join(build, "program.blob");
    const config = path.join(build, "sea.json");
    fs.writeFileSync(
      config,
      JSON.stringify({ main: bundle, output: blob, disableExperimentalSEAWarning: true }),
    );
    execFileSync(process.execPath, ["--experimental-sea-config", config], { stdio: "pipe" });
    const executable = path.join(folder, "program");
    fs.copyFileSync(process.execPath, executable);
    fs.chmodSync(executable, 0o755);
    const postject = path.join(
      path.dirname(require.resolve("postject/package.json")),
      "dist",
      "cli.js",
    );
    const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
    execFileSync(
      process.execPath,
      [postject, executable, "NODE_SEA_BLOB", blob, "--sentinel-fuse", fuse],
      { stdio: "pipe" },
    );

    fs.copyFileSync(packagedAddon, path.join(other, addon));
    await runs(folder, [executable], {
      from: other,
      env: { OPEN_CHANNEL_ADDON: path.join(other, addon) },
    });
    fs.copyFileSync(packagedAddon, path.join(folder, addon));
    await runs(other, [executable], { from: folder });
  },
);

test("a bundled program without its addon says how it is found", limit, async () => {
  const folder = elsewhere();
  const outfile = path.join(folder, "bundle.cjs");
  await require("esbuild").build({
    entryPoints: [program("cjs")],
    outfile,
    bundle: true,
    platform: "node",
    external: ["open-channel-*"],
  });
  const child = start(process.execPath, [outfile], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let report = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (report += text));
  assert.equal((await within(child.ended, "its end")).code, 1);
  assert.ok(report.includes(`${addon} beside it`), report);
  assert.match(report, /OPEN_CHANNEL_ADDON/);
});
