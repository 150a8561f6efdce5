// The ES-module face: the same module instance as `require("open-channel")`, never a second copy.
import { ChannelSocket, Message, openChannel, ProcessChannel } from "./dist/index.js";

export { ChannelSocket, Message, openChannel, ProcessChannel };

// The original is CommonJS only, whose default import is all of its exports:
// `channel.openChannel(…)` goes on working.
export default Object.assign(openChannel, {
  ChannelSocket,
  default: openChannel,
  Message,
  openChannel,
  ProcessChannel,
});
