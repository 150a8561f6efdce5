// The ES-module face: the same module instance as `require("open-channel")`, never a second copy.
import channel from "./dist/index.js";

export const { openChannel, ProcessChannel, ChannelSocket, Message } = channel;
export default openChannel;
