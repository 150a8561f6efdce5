// Which processes belong to one application: the table of the README, with real loaders and test
// runners.
"use strict";
const {
  test,
  scratch,
  fixture,
  until,
  within,
  next,
  start,
  adopt,
  node,
  unique,
} = require("./harness.js");
const assert = require("node:assert/strict");
const { fork } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { inspect } = require("node:util");
const { openChannel } = require("..");

const root = path.join(__dirname, "..");
const where = fixture("where.js");
const tool = (name, file) => path.join(root, "node_modules", name, file);

let folders = 0;
/** A new folder with these files in it; an object instead of a text is a manifest. */
function folder(files = {}) {
  const made = path.join(scratch, `application-${++folders}`);
  fs.mkdirSync(made);
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(made, name)), { recursive: true });
    fs.writeFileSync(path.join(made, name), typeof text === "string" ? text : JSON.stringify(text));
  }
  return made;
}

const loads = `require(${JSON.stringify(where)});`;
const imports = `import ${JSON.stringify(where)};`;

/** The report of a process that is started so. */
async function said(args, { cwd = scratch, env = {}, input, command = process.execPath } = {}) {
  // As a shell would: it leaves the variable alone if the folder is the same.
  const member = start(command, args, { cwd, env: { PWD: cwd, LEAVE: "1", ...env } });
  if (input === undefined) member.stdin.end();
  else member.stdin.end(input);
  const line = await member.line(/^{"app"/);
  await within(member.ended, "its end");
  return JSON.parse(line);
}

const application = async (...start) => (await said(...start)).app;

/** Points the link `at` to `target`, in one step. */
function flip(at, target) {
  fs.symlinkSync(target, `${at}.new`);
  fs.renameSync(`${at}.new`, at);
}

test("each release that current leads to is one application, however it is started", async () => {
  const files = (release) => ({
    [`releases/${release}/app.js`]: loads,
    [`releases/${release}/app.mjs`]: imports,
    [`releases/${release}/fork.js`]: `
      const { fork } = require("node:child_process");
      fork(require("node:path").join(__dirname, "app.js"), { stdio: "inherit" });`,
  });
  const deployed = folder({ ...files(1), ...files(2) });
  const current = path.join(deployed, "current");
  for (const release of ["1", "2"]) {
    flip(current, `releases/${release}`);
    const real = path.join(deployed, "releases", release);
    const ways = [
      [[path.join(current, "app.js")]],
      [["app.js"], { cwd: current }],
      [["./app"], { cwd: current }],
      [["app.js"], { cwd: current, env: { PWD: "/" } }],
      [[path.join(real, "app.js")]],
      [["--require", fixture("nothing.js"), path.join(current, "app.js"), "argument"]],
      [["--preserve-symlinks-main", path.join(current, "app.js")]],
      [[path.join(current, "fork.js")]],
    ];
    for (const way of ways)
      assert.equal(await application(...way), path.join(current, "app.js"), JSON.stringify(way));
    assert.equal(await application([path.join(current, "app.mjs")]), path.join(current, "app.mjs"));
    for (const env of [{}, { PWD: "/" }]) {
      assert.equal(await application(["-e", loads], { cwd: current, env }), `[eval]${current}`);
      assert.equal(
        await application(["-"], { cwd: current, env, input: loads }),
        `[eval]${current}`,
      );
    }
  }
  // Before the flip, the next release is nobody else either.
  fs.rmSync(path.join(deployed, "releases", "1"), { recursive: true });
  flip(current, "releases/1");
  assert.equal(
    await application([path.join(deployed, "releases", "2", "app.js")]),
    path.join(current, "app.js"),
  );
});

test("a link of any name to a folder below its own names the application", async () => {
  const deployed = folder({ "builds/5/app.js": loads, "builds/6/app.js": loads });
  const live = path.join(deployed, "live");
  for (const build of ["builds/5", "builds/6"]) {
    flip(live, build);
    assert.equal(await application([path.join(live, "app.js")]), path.join(live, "app.js"));
    assert.equal(await application(["app.js"], { cwd: live }), path.join(live, "app.js"));
  }
});

test("other links are the application that they lead to", async () => {
  const disk = folder({ "app/app.js": loads, "app/node_modules/.store/package/cli.js": loads });
  const app = path.join(disk, "app", "app.js");
  const home = folder();
  fs.symlinkSync(path.join(disk, "app"), path.join(home, "mine"));
  fs.symlinkSync(app, path.join(home, "mine.js"));
  fs.symlinkSync(path.join(disk, "app", "app.js"), path.join(disk, "beside.js"));
  for (const way of [
    [app],
    [path.join(home, "mine", "app.js")],
    [path.join(home, "mine.js")],
    [path.join(disk, "beside.js")],
  ]) {
    assert.equal(await application(way), app, way[0]);
  }
  assert.equal(await application(["app.js"], { cwd: path.join(home, "mine") }), app);
  // Those of package managers.
  const modules = path.join(disk, "app", "node_modules");
  fs.symlinkSync(".store/package", path.join(modules, "package"));
  assert.equal(
    await application([path.join(modules, "package", "cli.js")]),
    path.join(modules, ".store", "package", "cli.js"),
  );
});

test("a working directory that was removed is in nobody's way", async () => {
  const app = path.join(folder({ "app.js": loads }), "app.js");
  const gone = folder();
  const script = `
    process.chdir(${JSON.stringify(gone)});
    require("node:fs").rmdirSync(${JSON.stringify(gone)});
    require(${JSON.stringify(app)});`;
  const launcher = path.join(folder({ "launch.js": script }), "launch.js");
  assert.equal(await application([launcher]), launcher);
});

test("tsx is not the application: the script that it runs is", async () => {
  const files = {
    "app.ts": `const typed: string = "";\n${loads}`,
    "module.mts": `const typed: string = "";\n${imports}`,
  };
  const made = folder(files);
  for (const file of Object.keys(files)) {
    const script = path.join(made, file);
    assert.equal(await application([tool("tsx", "dist/cli.mjs"), script]), script);
    assert.equal(await application([tool("tsx", "dist/cli.mjs"), file], { cwd: made }), script);
    assert.equal(
      await application(["--import", `file://${tool("tsx", "dist/loader.mjs")}`, script]),
      script,
    );
  }
});

test("a tool that a monorepo shares is another application in each of its projects", async () => {
  const repository = folder({
    "package.json": { workspaces: ["apps/*"] },
    "node_modules/framework/package.json": {},
    "node_modules/framework/cli.js": loads,
    // They have open-channel through another package.
    "apps/a/package.json": { dependencies: { "@shop/ipc": "*" } },
    "apps/b/package.json": { dependencies: { "@shop/ipc": "*" } },
    "apps/b/framework.config.js": "",
    "apps/b/serve.js": "",
  });
  const framework = path.join(repository, "node_modules", "framework", "cli.js");
  for (const name of ["a", "b"]) {
    const cwd = path.join(repository, "apps", name);
    assert.equal(await application([framework, "start"], { cwd }), `[framework]${cwd}`);
  }
  const cwd = path.join(repository, "apps", "b");
  for (const option of ["-c", "--config", "--config-file", "--configFile", "--require"]) {
    const args = [framework, "build", option, "framework.config.js"];
    assert.equal(await application(args, { cwd }), `[framework]${cwd}`, option);
    assert.equal(await application([...args, "serve.js"], { cwd }), path.join(cwd, "serve.js"));
  }
  const watched = [framework, "--watch", "serve.js"];
  assert.equal(await application(watched, { cwd }), path.join(cwd, "serve.js"));
});

test("a tool runs a script or a project, a program that uses open-channel itself", async () => {
  const uses = { dependencies: { "open-channel": "*" } };
  const shop = folder({ "package.json": uses, "serve.js": loads, "app/empty": "" });
  const made = folder({
    "node_modules/framework/package.json": {},
    "node_modules/framework/cli.js": loads,
    "node_modules/@scope/program/package.json": uses,
    "node_modules/@scope/program/cli.js": loads,
    "other/package.json": uses,
  });
  const framework = path.join(made, "node_modules", "framework", "cli.js");
  const program = path.join(made, "node_modules", "@scope", "program", "cli.js");
  assert.equal(await application([framework, "start"], { cwd: shop }), `[framework]${shop}`);
  assert.equal(
    await application([framework, "start"], { cwd: path.join(shop, "app") }),
    `[framework]${shop}`,
  );
  assert.equal(
    await application([framework], { cwd: path.join(made, "other") }),
    `[framework]${path.join(made, "other")}`,
  );
  assert.equal(
    await application([framework, "--port", "80", "serve.js"], { cwd: shop }),
    path.join(shop, "serve.js"),
  );
  // The program that uses open-channel here is not the project.
  assert.equal(await application([framework], { cwd: made }), framework);
  assert.equal(await application([program], { cwd: shop }), program);
  fs.mkdirSync(path.join(made, "node_modules", ".bin"));
  fs.symlinkSync("../@scope/program/cli.js", path.join(made, "node_modules", ".bin", "program"));
  assert.equal(
    await application([path.join(made, "node_modules", ".bin", "program")], { cwd: shop }),
    program,
  );
});

/** Vitest does not run in every version of Node that this package does. */
const vitest = { skip: Number(process.versions.node.split(".")[0]) < 20 && "vitest needs Node 20" };

for (const [mode, flags] of [
  ["forks", ["--pool=forks"]],
  ["threads", ["--pool=threads"]],
  ["one worker", ["--pool=forks", "--no-isolate", "--maxWorkers=1"]],
]) {
  test(
    `vitest with ${mode}: test files are apart, and meet scripts that they fork`,
    vitest,
    async () => {
      const together = mode === "one worker" ? 1 : 4;
      const made = folder();
      for (let number = 1; number <= 4; number++)
        fs.copyFileSync(fixture("vitest.mjs"), path.join(made, `${number}.test.mjs`));
      fs.symlinkSync(path.join(root, "node_modules"), path.join(made, "node_modules"));
      const env = {
        NAME: unique(),
        TOGETHER: String(together),
        OPEN_CHANNEL_PACKAGE: root,
        MEMBER: where,
      };
      const args = [
        tool("vitest", "vitest.mjs"),
        "run",
        "--root",
        made,
        "--testTimeout=30000",
        "--reporter=json",
        ...flags,
      ];
      const run = start(process.execPath, together === 1 ? args : [...args, "--maxWorkers=4"], {
        env,
        cwd: made,
      });
      await within(run.ended, "the end of vitest", 50_000);
      const { numPassedTests, testResults } = JSON.parse(
        run.lines.find((line) => line.startsWith("{")),
      );
      const failures = testResults.flatMap((file) => [
        file.message,
        ...file.assertionResults.flatMap((result) => result.failureMessages),
      ]);
      assert.equal(numPassedTests, 4, failures.join("\n"));
    },
  );
}

test("a timeout names the application that was looked in, and what to do", async () => {
  const name = unique();
  const host = node(where, [], { env: { OPTIONS: JSON.stringify({ name }) } });
  await host.line(/"role":"host"/);
  const script = path.join(
    folder({
      "child.js": `const { openChannel } = require(${JSON.stringify(root)});
        const channel = openChannel({ name: ${JSON.stringify(name)}, connectTimeout: 300 });
        const say = (error) => process.send({ code: error.code, message: error.message });
        channel.connect(300).on("error", say);
        channel.join().catch(say);`,
    }),
    "child.js",
  );
  const child = adopt(fork(script));
  const errors = [];
  child.on("message", (error) => errors.push(error));
  await until(() => errors.length === 2, "two errors");
  for (const { code, message } of errors) {
    assert.equal(code, "ETIMEDOUT");
    for (const part of [
      `in the application ${JSON.stringify(script)}`,
      'scope: "user"',
      "the same app,",
      "OPEN_CHANNEL_APP",
    ]) {
      assert.ok(message.includes(part), `${part} in ${message}`);
    }
  }
});

test("the environment brings scripts together, and an option goes before it", async () => {
  const other = path.join(folder({ "other.js": loads }), "other.js");
  const name = unique();
  const meet = async (options, env) => {
    const first = node(where, [], {
      env: { ...env, OPTIONS: JSON.stringify({ name, ...options }) },
    });
    const second = await (await first.line(/^{"app"/),
    said([other], { env: { ...env, OPTIONS: JSON.stringify({ name, ...options }) } }));
    first.stdin.end();
    await within(first.ended, "its end");
    return second;
  };
  const cases = [
    [{}, { OPEN_CHANNEL_APP: "shop" }, { app: "shop", scope: "app", role: "peer" }],
    [
      {},
      { OPEN_CHANNEL_APP: "shop", OPEN_CHANNEL_SCOPE: "app" },
      { app: "shop", scope: "app", role: "peer" },
    ],
    [{}, { OPEN_CHANNEL_SCOPE: "user" }, { app: null, scope: "user", role: "peer" }],
    [
      {},
      { OPEN_CHANNEL_SCOPE: "user", OPEN_CHANNEL_APP: "shop" },
      { app: null, scope: "user", role: "peer" },
    ],
    [
      {},
      { OPEN_CHANNEL_SCOPE: "", OPEN_CHANNEL_APP: "" },
      { app: other, scope: "app", role: "host" },
    ],
    [{}, { OPEN_CHANNEL_SCOPE: "app" }, { app: other, scope: "app", role: "host" }],
    [
      { app: "mine" },
      { OPEN_CHANNEL_SCOPE: "user", OPEN_CHANNEL_APP: "shop" },
      { app: "mine", scope: "app", role: "peer" },
    ],
    [
      { scope: "user" },
      { OPEN_CHANNEL_SCOPE: "app", OPEN_CHANNEL_APP: "shop" },
      { app: null, scope: "user", role: "peer" },
    ],
    [
      { scope: "app" },
      { OPEN_CHANNEL_SCOPE: "user", OPEN_CHANNEL_APP: "shop" },
      { app: "shop", scope: "app", role: "peer" },
    ],
  ];
  for (const [options, env, expected] of cases) {
    const { app, scope, role } = await meet(options, env);
    assert.deepEqual({ app, scope, role }, expected, JSON.stringify([options, env]));
  }
});

test("a scope in the environment that is none is refused, and the variable named", (t) => {
  t.after(() => delete process.env.OPEN_CHANNEL_SCOPE);
  process.env.OPEN_CHANNEL_SCOPE = "everybody";
  assert.throws(() => openChannel(unique(), () => {}), {
    code: "EINVAL",
    message: /OPEN_CHANNEL_SCOPE is "everybody"; it can be "app" or "user"/,
  });
  assert.equal(openChannel({ name: unique(), app: "mine" }, () => {}).app, "mine");
});

test("a channel shows what two processes that do not meet have to compare", async () => {
  const options = { name: unique(), app: "shop" };
  const channel = openChannel(options, (socket) => socket.resume());
  const other = await (await channel.join(),
  said([where], { env: { OPTIONS: JSON.stringify(options) } }));
  assert.match(channel.key, /^[0-9a-f]{32}$/);
  assert.deepEqual(other, { app: "shop", scope: "app", key: channel.key, role: "peer" });
  const shown = inspect(channel);
  for (const part of [
    "ProcessChannel",
    options.name,
    "app: 'shop'",
    "scope: 'app'",
    `key: '${channel.key}'`,
    "role: 'host'",
  ]) {
    assert.ok(shown.includes(part), `${part} in ${shown}`);
  }
  assert.notEqual(openChannel({ ...options, app: "market" }).key, channel.key);
  assert.equal(openChannel({ ...options, scope: "user" }).app, null);
  await channel.close();
  assert.deepEqual(
    [channel.app, channel.scope, channel.key],
    ["shop", "app", other.key],
    "closed, it is still the same one",
  );
});
