// The faults of the original, each as a test of ours. All start real processes.
"use strict";
const { test, scratch, until, within, unique, start, fixture } = require("./harness.js");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const os = require("node:os");

const app = fixture("meet.js");
const node = process.execPath;

/** Starts processes one way each, and checks that they end up on one channel with one host. */
async function together(commands) {
  const name = unique();
  const members = [];
  for (const { command = node, args, cwd, env, input } of commands) {
    const member = start(command, args, { cwd, env: { NAME: name, ...env } });
    members.push(member);
    if (input !== undefined) member.stdin.end(input);
  }
  await Promise.all(members.map((member) => member.line("met")));
  const hosts = members.filter((member) => member.lines.includes("host"));
  members.forEach((member) => member.kill("SIGTERM"));
  await Promise.all(members.map((member) => within(member.ended, "its end")));
  assert.equal(hosts.length, 1, `${hosts.length} hosts`);
}

test("processes started together find one host", () =>
  together(Array.from({ length: 6 }, () => ({ args: [app] }))));

test("a relative path from another folder is the same application", () =>
  together([
    { args: [app] },
    { args: ["meet.js"], cwd: path.dirname(app) },
    { args: ["./fixtures/meet"], cwd: __dirname },
  ]));

test("a symbolic link to the script is the same application", () => {
  const link = path.join(scratch, "linked.js");
  fs.symlinkSync(app, link);
  return together([{ args: [app] }, { args: [link] }, { args: ["--preserve-symlinks-main", app] }]);
});

test("options before the script do not matter", () =>
  together([
    { args: [app] },
    { args: ["--title", "mine", app] },
    { args: ["--require", path.join(__dirname, "fixtures", "nothing.js"), app, "argument"] },
  ]));

test("an ES module as entry is the same application", () => {
  const entry = fixture("meet.mjs");
  return together([
    { args: [entry] },
    { args: ["--title", "mine", entry] },
    { args: ["./meet.mjs"], cwd: path.dirname(entry) },
  ]);
});

test("node -e and a script from standard input meet where they stand", () => {
  const code = `require(${JSON.stringify(app)})`;
  return together([
    { args: ["-e", code] },
    { args: ["-e", code, "argument"] },
    { args: ["-"], input: code },
    { args: [], input: code },
  ]);
});

test("no ps in the PATH is needed", () =>
  together([
    { args: [app], env: { PATH: "/nowhere" } },
    { args: [app], env: { PATH: "/nowhere" } },
  ]));

test("names that look like paths, long names and emoji are only names", async () => {
  const before = fs.readdirSync(os.tmpdir()).length;
  for (const name of [
    `a/../../../x-${process.pid}`,
    "n".repeat(200),
    "n".repeat(255),
    "../up",
    "🚀".repeat(40),
    " spaces and\nlines ",
  ]) {
    const member = start(node, [app], { env: { NAME: name } });
    await member.line("met");
    member.kill("SIGTERM");
    await within(member.ended, "its end");
  }
  assert.ok(
    fs.readdirSync(os.tmpdir()).length <= before + 2,
    "nothing new in the temporary folder",
  );
  assert.ok(!fs.existsSync(`/x-${process.pid}`));
});

test("a long TMPDIR does not matter", () => {
  const TMPDIR = path.join(scratch, "t".repeat(150));
  fs.mkdirSync(TMPDIR);
  return together([{ args: [app], env: { TMPDIR } }, { args: [app] }]);
});

test("a first process that opens late, or some that never open, split nothing", () =>
  together([
    { args: [app], env: { LATE: "300" } },
    { args: [app] },
    { args: [app], env: { LATE: "never" } },
    { args: [app], env: { LATE: "100" } },
  ]));

test("a file that another user left or owns is in nobody's way", async () => {
  // A runtime directory of somebody else's, as after `su`; to root, one that was given away.
  let foreign = "/";
  if (process.getuid() === 0) {
    foreign = path.join(scratch, "foreign");
    fs.mkdirSync(foreign);
    fs.chownSync(foreign, 12_345, 12_345);
  }
  const before = fs.readdirSync(foreign);
  const own = path.join("/tmp", `open-channel-${process.getuid()}`);
  const fresh = !fs.existsSync(own);
  await together(
    [1, 2].map(() => ({ args: [app], env: { OPEN_CHANNEL_DIR: "", XDG_RUNTIME_DIR: foreign } })),
  );
  assert.deepEqual(fs.readdirSync(foreign), before);
  assert.equal(fs.statSync(own).mode & 0o777, 0o700, "the user's own, and nobody else's");
  if (fresh) fs.rmSync(own, { recursive: true });
});

test("a host that dies on a quiet channel is replaced", async () => {
  const name = unique();
  const members = [];
  for (let i = 0; i < 3; i++) {
    members.push(start(node, [app], { env: { NAME: name } }));
    await members[i].line("met");
  }
  for (let round = 0; round < 2; round++) {
    const host = members.find((member) => member.lines.includes("host"));
    members.splice(members.indexOf(host), 1);
    host.kill("SIGKILL");
    await Promise.all(members.map((member) => member.line(`failover ${round + 1}`)));
    // And it works: everybody reaches the new host.
    members.forEach((member) => member.stdin.write("ask\n"));
    await Promise.all(members.map((member) => member.line(`answer ${round + 1}`)));
    assert.equal(members.filter((member) => member.lines.includes("host")).length, 1);
  }
  members.forEach((member) => member.kill("SIGTERM"));
});

test("a host that dies on a quiet channel is replaced in a cluster, too", async () => {
  const primary = start(node, [fixture("cluster.js")], { env: { NAME: unique(), SCRIPT: app } });
  const said = (text) =>
    primary.lines
      .filter((line) => line.endsWith(` ${text}`))
      .map((line) => Number(line.split(" ")[0]));
  await until(() => said("met").length === 4, "four workers");
  const [host] = said("host");
  process.kill(host, "SIGKILL");
  await until(() => said("failover 1").length === 3, "three failovers");
  assert.equal(said("host").length, 2);
  primary.kill("SIGTERM");
  await within(primary.ended, "its end");
});

// The events that a peer sees that becomes the host, in this order.
const gap = [
  "hostlost connecting",
  "host connecting",
  "failover connecting",
  "reconnect connected",
  "data connected",
];

test("in the gap the state is connecting, and reconnect comes after it", async () => {
  const env = { NAME: unique() };
  const host = start(node, [fixture("witness.js")], { env });
  await host.line("data connected");
  const member = start(node, [fixture("witness.js")], { env });
  await member.line("data connected");
  const before = [
    "begin connecting",
    "peer connecting",
    "connect connected",
    "ready connected",
    "data connected",
  ];
  assert.deepEqual(member.lines, before);
  host.kill("SIGKILL");
  await until(() => member.lines.length >= before.length + gap.length, "a new host");
  assert.deepEqual(member.lines, [...before, ...gap]);
});

test("a gap that is over before JavaScript looks is still reported, in order", async () => {
  const env = { NAME: unique() };
  const first = start(node, [fixture("witness.js")], { env });
  await first.line("data connected");
  const [second, third] = [1, 2].map(() => start(node, [fixture("witness.js")], { env }));
  await Promise.all([second, third].map((member) => member.line("data connected")));
  const go = path.join(scratch, unique());
  for (const member of [second, third]) {
    member.stdin.write(`${go}\n`);
    await member.line("blocked");
    member.lines.length = 0;
  }
  // One of the two takes over while the JavaScript of both is busy.
  first.kill("SIGKILL");
  await first.ended;
  fs.writeFileSync(go, "");
  await Promise.all([second, third].map((member) => member.line("data connected")));
  const [host, peer] = second.lines.some((line) => line.startsWith("host "))
    ? [second, third]
    : [third, second];
  assert.deepEqual(host.lines, gap);
  assert.deepEqual(peer.lines, gap.map((line) => line.replace(/^host /, "peer ")));
});
