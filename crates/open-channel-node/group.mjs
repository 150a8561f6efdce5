// The ES-module face of groups: the same module instance as `require("open-channel/group")`.
import all from "./dist/group.js";

export const {
  Group,
  GroupError,
  Job,
  LockGuard,
  MapWatch,
  Queue,
  QueueWorker,
  Service,
  SharedMap,
  Subscription,
  TopicMessage,
} = all;
