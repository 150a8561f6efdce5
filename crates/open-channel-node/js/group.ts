// `open-channel/group`: the processes that joined one name, as members that know each other.
export type { GroupBroadcastChannel } from "./group/broadcast-channel.js";
export {
  Service,
  type Answers,
  type CallAllOptions,
  type CallContext,
  type CallHandler,
  type CallOptions,
} from "./group/calls.js";
export { GroupError, type GroupErrorCode } from "./group/errors.js";
export { Group, type GroupEvents } from "./group/group.js";
export type { LeadOptions, LeadTask } from "./group/lead.js";
export { LockGuard, type LockOptions } from "./group/locks.js";
export {
  MapWatch,
  SharedMap,
  type MapChange,
  type MapEntry,
  type WriteOptions,
} from "./group/map.js";
export type { LeaveReason, Member } from "./group/members.js";
export type { GroupOptions } from "./group/options.js";
export {
  Job,
  Queue,
  QueueWorker,
  type JobHandler,
  type PushOptions,
  type QueueWorkerEvents,
} from "./group/queue.js";
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
