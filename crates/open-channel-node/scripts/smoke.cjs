// Three processes meet, answer each other, are killed and close: whether the package works on a
// system where its tests cannot run. It needs nothing but Node, and ends with status 0.
const { fork } = require("node:child_process");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

/** Longer than all of it takes on a busy machine. */
const WATCHDOG = 120_000;
const MESSAGES = 200;

function member() {
  const { openChannel } = require("../dist/index.js");
  const channel = openChannel("smoke", (socket) => {
    socket.on("data", (data) => socket.write(`${process.pid} ${data}`));
  });
  const socket = channel.connect();
  socket.on("data", (data) => process.send(String(data)));
  process.on("message", (message) => {
    if (message === "close") return channel.close().then(() => process.exit(0));
    socket.write(message);
  });
  process.on("disconnect", () => process.exit(1));
}

/** A process that takes part, with the answers that it got. */
class Member {
  answers = [];
  #changed = () => {};

  constructor() {
    this.process = fork(__filename, ["member"]);
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.on("message", (answer) => {
      const space = answer.indexOf(" ");
      this.answers.push({ host: Number(answer.slice(0, space)), text: answer.slice(space + 1) });
      this.#changed();
    });
  }

  get pid() {
    return this.process.pid;
  }

  send(text) {
    this.process.send(text);
  }

  /** The host that answered to this message last, once there is an answer. */
  async answer(text) {
    for (;;) {
      const found = this.answers.findLast((answer) => answer.text === text);
      if (found) return found.host;
      await new Promise((resolve) => (this.#changed = resolve));
    }
  }
}

const tests = {
  async "two processes meet and answer each other"({ one, two }) {
    one.send("alone");
    equal(await one.answer("alone"), one.pid);
    two.send("hello");
    equal(await two.answer("hello"), one.pid);
  },
  async "nothing is lost when the host is killed"({ one, two }) {
    for (let number = 0; number < MESSAGES; number++) {
      two.send(`message ${number}`);
      if (number === MESSAGES / 2) one.process.kill("SIGKILL");
    }
    for (let number = 0; number < MESSAGES; number++) await two.answer(`message ${number}`);
    two.send("after it");
    equal(await two.answer("after it"), two.pid);
  },
  async "a host that closes hands over"(stage) {
    const three = (stage.three = new Member());
    three.send("to two");
    equal(await three.answer("to two"), stage.two.pid);
    stage.two.send("close");
    equal(await stage.two.ended, 0);
    three.send("to itself");
    equal(await three.answer("to itself"), three.pid);
  },
};

function equal(found, expected) {
  if (found !== expected) throw new Error(`${found} instead of ${expected}`);
}

async function main() {
  const directory = mkdtempSync(join(tmpdir(), "oc-"));
  process.env.OPEN_CHANNEL_DIR = join(directory, "run");
  const stage = { one: new Member() };
  stage.one.send("first");
  let [passed, failed] = [0, 0];
  const end = () => {
    Object.values(stage).forEach((one) => one.process.kill("SIGKILL"));
    console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed;`);
    rmSync(directory, { recursive: true, force: true });
    process.exit(failed ? 1 : 0);
  };
  setTimeout(() => {
    console.log("it hangs; the answers so far:");
    for (const [name, one] of Object.entries(stage)) console.log(name, one.answers.slice(-3));
    failed++;
    end();
  }, WATCHDOG);
  await stage.one.answer("first");
  stage.two = new Member();
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(stage);
      console.log(`test ${name} ... ok`);
      passed++;
    } catch (error) {
      console.log(`test ${name} ... FAILED\n${error.stack}`);
      failed++;
    }
  }
  end();
}

if (process.argv[2] === "member") member();
else main();
