// An adapter for Socket.IO: the servers of all processes of a group as one.
import type { Group } from "../group/group.js";
import { checkGroup } from "./group.js";
import { GroupAdapter, type AdapterOptions } from "./socketio/adapter.js";

export { GroupAdapter, type AdapterOptions } from "./socketio/adapter.js";
export type { RecoveryOptions } from "./socketio/recovery.js";

/**
 * For the option `adapter` of a Socket.IO server. Rooms, broadcasts, acknowledgements,
 * `serverSideEmit`, `fetchSockets` and the like then reach the clients and servers of all processes
 * of the group, and clients recover their state at any of them.
 *
 * The group stays the caller's: close it after the server.
 */
export function createAdapter(
  group: Group,
  options: AdapterOptions = {},
): (namespace: unknown) => GroupAdapter {
  checkGroup(group, "createAdapter");
  // Socket.IO calls it with `new`, which an arrow function does not bear.
  return function adapter(namespace) {
    return new GroupAdapter(namespace, group, options);
  };
}
