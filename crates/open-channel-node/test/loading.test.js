// The errors of loading the package when there is no addon, or one that cannot be loaded.
"use strict";
const { test, scratch } = require("./harness.js");
const { root, platform, addon } = require("./packed.js");
const { before } = require("node:test");
const assert = require("node:assert/strict");
const { execFileSync, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const { targets } = require("../package.json").napi;
const limit = { timeout: 90_000 };
const app = path.join(scratch, "without-addon");
const built = path.join(root, addon);

// The package alone.
before(() => {
  const folder = path.join(app, "node_modules", "open-channel");
  for (const name of ["package.json", "index.mjs", "dist"]) {
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  }
});

/** Loads the package in a new process, and says what it throws. */
function load({ env, prelude = "", cwd = app } = {}) {
  const report = "console.log(JSON.stringify({ code: error.code, message: error.message }))";
  const attempt = 'try { require("open-channel"); console.log("{}"); }';
  const code = `${prelude}; ${attempt} catch (error) { ${report}; }`;
  const output = execFileSync(process.execPath, ["-e", code], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  return JSON.parse(output);
}

/** A file with the name of an addon, which is none. */
function broken(folder) {
  const file = path.join(folder, addon);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(file, "this is no library");
  return file;
}

test(
  "without the package of its platform, it says which one is not installed, and why",
  limit,
  () => {
    const { code, message } = load();
    assert.equal(code, "MODULE_NOT_FOUND");
    assert.ok(message.includes(platform), message);
    assert.match(message, /is installed\. .*--omit=optional/);
  },
);

test("on a platform that has no addon, it says which ones have", limit, () => {
  const { code, message } = load({
    prelude: "Object.defineProperty(process, 'platform', { value: 'sunos' })",
  });
  assert.equal(code, "MODULE_NOT_FOUND");
  assert.match(message, /no addon for sunos-/);
  assert.equal(message.match(/linux-(x64|arm64)-(gnu|musl)/g).length, targets.length);
});

test(
  "an addon that is there and cannot be loaded has its own error, with the loader's reason",
  limit,
  () => {
    const folder = path.join(scratch, "broken");
    fs.cpSync(app, folder, { recursive: true });
    const place = path.join(folder, "node_modules", platform);
    const file = broken(place);
    fs.writeFileSync(
      path.join(place, "package.json"),
      JSON.stringify({ name: platform, main: addon }),
    );
    const { code, message } = load({ cwd: folder });
    assert.equal(code, "ERR_DLOPEN_FAILED");
    assert.ok(message.includes(fs.realpathSync(file)), message);
    assert.match(message, /cannot be loaded:\n.*(invalid ELF header|file too short)/);
  },
);

test("OPEN_CHANNEL_ADDON names the addon, and nothing else is tried", limit, () => {
  assert.deepEqual(load({ env: { OPEN_CHANNEL_ADDON: built } }), {});
  const absent = load({ env: { OPEN_CHANNEL_ADDON: "nowhere.node" }, cwd: root });
  assert.equal(absent.code, "MODULE_NOT_FOUND");
  assert.match(absent.message, /OPEN_CHANNEL_ADDON names .*nowhere\.node/);
  const useless = load({ env: { OPEN_CHANNEL_ADDON: broken(path.join(scratch, "useless")) } });
  assert.equal(useless.code, "ERR_DLOPEN_FAILED");
});

test("in a clone that is not built, it says how to build it", limit, () => {
  const clone = path.join(scratch, "clone");
  fs.cpSync(
    path.join(app, "node_modules", "open-channel"),
    path.join(clone, "node_modules", "open-channel"),
    { recursive: true },
  );
  fs.writeFileSync(path.join(clone, "node_modules", "open-channel", "Cargo.toml"), "");
  assert.match(load({ cwd: clone }).message, /not built: run `npm run build` in /);
});

test("building the addons of all platforms says what it lacks", limit, () => {
  const nothing = path.join(scratch, "no-programs");
  fs.mkdirSync(nothing);
  const script = path.join(root, "scripts", "build-platforms.mjs");
  const { status, stderr } = spawnSync(process.execPath, [script, "linux-x64-gnu", "sunos-x64"], {
    env: { PATH: nothing },
    encoding: "utf8",
  });
  assert.equal(status, 1);
  assert.match(stderr, /missing:\n- cargo-zigbuild.*pip install/);
  assert.match(stderr, /- a platform named sunos-x64; there are linux-x64-gnu, /);
});

test(
  "the addon holds no symbols and no line tables",
  { ...limit, skip: process.env.OPEN_CHANNEL_PROFILE === "dev" },
  () => {
    const bytes = fs.readFileSync(built);
    for (const section of [".symtab", ".debug_line", ".debug_info"])
      assert.ok(!bytes.includes(`\0${section}\0`), section);
  },
);
