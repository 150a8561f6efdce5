// The ES-module face: the same module instance as `require("open-channel")`, never a second copy.
import channel from "./dist/index.js";

export const { openChannel, ProcessChannel, ChannelSocket, Message } = channel;
// The original is CommonJS only, whose default import is all of its exports: `channel.openChannel(…)` goes on working.
export default Object.assign(openChannel, channel);
