// The checks that all adapters make first.
import type { Group } from "../group/group.js";

/** @throws If it is no group; a promise is what a forgotten `await` leaves. */
export function checkGroup(group: Group, taker: string): Group {
  if (typeof group?.subscribe === "function") return group;
  const given = group === null ? "null" : typeof group;
  const isPromise = typeof (group as { then?: unknown } | undefined)?.then === "function";
  const found = isPromise ? "a promise: await it" : given;
  const error = new TypeError(`${taker} takes a group, from Group.join(), and not ${found}`);
  throw Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}
