// The ES-module face: the same module instance as `require("open-channel")`, never a second copy.
import all, {
  ChannelSocket,
  isWin32,
  Message,
  openChannel,
  ProcessChannel,
  usingPort,
} from "./dist/index.js";

export { ChannelSocket, isWin32, Message, openChannel, ProcessChannel, usingPort };

// The original is CommonJS only, whose default import is all of its exports:
// `channel.openChannel(…)` goes on working.
const everything = Object.assign(openChannel, {
  ChannelSocket,
  default: openChannel,
  isWin32,
  Message,
  openChannel,
  ProcessChannel,
});
// It may change after it was imported.
const live = { configurable: true, enumerable: true, get: () => all.usingPort };
export default Object.defineProperty(everything, "usingPort", live);
