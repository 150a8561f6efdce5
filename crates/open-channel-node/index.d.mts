export * from "./dist/index.js";
export { openChannel as default } from "./dist/index.js";
