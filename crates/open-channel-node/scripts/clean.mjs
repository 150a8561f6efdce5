// Takes away what an earlier build left in dist/: a package holds all of it.
import { rmSync } from "node:fs";

rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
