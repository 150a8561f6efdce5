// `open-channel/group`: the processes that joined one name, as members that know each other.
export type { GroupBroadcastChannel } from "./group/broadcast-channel.js";
export { GroupError, type GroupErrorCode } from "./group/errors.js";
export { Group, type GroupEvents } from "./group/group.js";
export { LockGuard, type LockOptions } from "./group/locks.js";
export type { LeaveReason, Member } from "./group/members.js";
export type { GroupOptions } from "./group/options.js";
export {
  Subscription,
  TopicMessage,
  type SubscribeOptions,
  type TopicListener,
} from "./group/topics.js";
export type {
  Lock,
  LockCallback,
  LockInfo,
  LockManager,
  LockManagerSnapshot,
  LockMode,
  LockRequestOptions,
} from "./group/web-locks.js";
