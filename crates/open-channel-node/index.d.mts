import * as channel from "./dist/index.js";

export * from "./dist/index.js";
declare const all: typeof channel.openChannel & typeof channel;
export default all;
