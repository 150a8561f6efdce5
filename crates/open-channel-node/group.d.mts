export * from "./dist/group.js";
