// Groups of the tests: members in this process, and members that are processes.
"use strict";
const { fixture, node, start, unique } = require("./harness.js");
const path = require("node:path");
const { Group } = require("../dist/group.js");

/** A group of a test's own; what this process joins is left when the test ends. */
function meeting(t, options = {}) {
  const name = unique();
  const all = { scope: "user", ...options };
  const groups = [];
  t.after(() => Promise.all(groups.map((group) => group.close().catch(() => {}))));
  return {
    name,
    async join(own = {}) {
      const group = await Group.join(name, { ...all, ...own });
      groups.push(group);
      return group;
    },
    /** A process that runs `body`, which is the text of a function or a function's body. */
    member(body, own = {}) {
      const code = typeof body === "function" ? bodyOf(body) : body;
      const child = node(fixture("group-member.js"), [
        name,
        code,
        JSON.stringify({ ...all, ...own }),
      ]);
      child.ask = (word) => child.stdin.write(`${word}\n`);
      return child;
    },
    /** The program of Rust, with the arguments of one of its commands on this group. */
    program(...args) {
      const env = { OPEN_CHANNEL_GROUP: name };
      return start(path.join(__dirname, "..", "target", "open-channel"), args, { env });
    },
  };
}

const bodyOf = (body) => `return (${body})(group, { say, asked, require })`;

module.exports = { meeting };
