// Members of a group in other processes, which run functions of the tests.
"use strict";
const { fixture, node, unique, until } = require("./harness.js");

/**
 * A process that joined `group`. `run(fn, ...args)` runs a function there: it gets `{ group,
 * require, kept }` and the arguments, and sees nothing else of this file.
 */
async function member(group, options = {}) {
  const env = { GROUP: group, OPTIONS: JSON.stringify(options) };
  const child = node(fixture("evaluating.js"), [], { env });
  child.id = JSON.parse(await child.line(/^\{"joined"/)).joined;
  let last = 0;
  child.run = async (code, ...args) => {
    const number = ++last;
    child.stdin.write(`${JSON.stringify({ number, code: String(code), args })}\n`);
    const said = await child.line(new RegExp(`^\\{"number":${number}[,}]`));
    const { result, error } = JSON.parse(said);
    if (error !== undefined) throw new Error(error);
    return result;
  };
  return child;
}

/** So many processes in one group. Each of them sees all. */
async function members(count, options) {
  const group = unique();
  const all = [];
  for (let i = 0; i < count; i++) all.push(await member(group, options));
  for (const one of all)
    await until(() => one.run(({ group }) => group.members.length).then((n) => n === count), "all");
  return all;
}

/** The one that hosts the group, and the others. */
async function hostOf(all) {
  const hosts = await Promise.all(all.map((one) => one.run(({ group }) => group.isHost)));
  const host = all[hosts.indexOf(true)];
  return { host, others: all.filter((one) => one !== host) };
}

module.exports = { member, members, hostOf };
