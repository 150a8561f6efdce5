// The members as every member sees them.
import type { NativeMember } from "./native.js";

/** A member of the group. */
export interface Member {
  /** 16 hexadecimal digits. A member that was put out comes back with another one. */
  id: string;
  /** Its process, as it sees it. */
  pid: number;
  /** The program that runs in it. */
  program: string;
  /** `"node"`, `"rust"` and so on. */
  language: string;
  /** What it wants to be known by. */
  labels: Record<string, string>;
  /** The services that it serves. */
  services: string[];
}

/** Why a member is not in the view any more. */
export type LeaveReason =
  /** It said so itself. */
  | "left"
  /** Its process has ended. */
  | "died"
  /** It made no progress for `stallTimeout` while others waited for it. */
  | "stalled"
  /** It was not back in time after a change of host. */
  | "not back"
  /** It broke the protocol. */
  | "violation"
  | "too many"
  | "other";

export function member({ labels, ...rest }: NativeMember): Member {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < labels.length; i += 2) pairs.push([labels[i]!, labels[i + 1]!]);
  return { ...rest, labels: Object.fromEntries(pairs) };
}
