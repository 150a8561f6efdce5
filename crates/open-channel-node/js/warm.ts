// JavaScript is compiled function by function, when each is called for the first time. Node's own modules come compiled; for the
// fifty functions of a first connection it takes about as long as all the rest of it. So it is done while the package is loaded: one
// message goes each way through a socket that leads nowhere. A process's first connection is then as fast as the later ones, and so
// is the first that is accepted by a process that has just taken over from a dead host.
import { Read, Write, type NativeSocket } from "./native.js";
import { ChannelSocket, type Follower } from "./socket.js";

const GREETING = Buffer.from("hello");

/** Connected, and says its greeting once. */
function nowhere(): NativeSocket {
  let greeted = false;
  return {
    id: "",
    generation: 1,
    maxMessage: 64,
    connection: () => ({ connected: true, links: 1, over: false }),
    read(_handled, slab, begin, meta) {
      const count = greeted ? 0 : 1;
      slab.set(GREETING, begin);
      meta.set([greeted ? Read.Drained : Read.More, 1, 1, GREETING.length, 1]);
      greeted = true;
      return count;
    },
    write: () => Write.Done,
    written: () => Write.Done,
    failure: () => null,
    finish: () => true,
    undeliverable: () => null,
    giveBack() {},
    reject() {},
    handled() {},
    acknowledge() {},
    idle() {},
    flush() {},
    withdraw: () => false,
    flushed() {},
    stats: () => null as never,
    destroy() {},
  };
}

function pass(): void {
  let follower: Follower | undefined;
  const owner = {
    name: "",
    manual: false,
    allowHalfOpen: false,
    opened: (_: ChannelSocket, its: Follower) => void (follower = its),
    catchUp: () => true,
    connectionChanged() {},
    closed() {},
  };
  const socket = new ChannelSocket(owner, true, nowhere);
  socket.on("data", () => {});
  socket.write(GREETING);
  follower?.look();
  follower?.lost(1);
  socket.destroy();
}

try {
  pass();
} catch {
  // Somebody has a `net` of their own. It would only have saved time.
}
