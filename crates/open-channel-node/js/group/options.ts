// The options of `Group.join`, checked here: the addon would round, wrap or ignore wrong ones.
import { basename } from "node:path";
import { amount, choose, meeting, typed, type ChannelOptions } from "../options.js";
import { invalidArgument } from "./errors.js";
import type { NativeJoinOptions } from "./native.js";

/** The settings that are those of the channel beneath. */
type OfChannel =
  | "scope"
  | "app"
  | "runtimeDir"
  | "generationFile"
  | "link"
  | "connectTimeout"
  | "resumeTimeout";

/** Settings of a group. All members should have the same limits and timeouts. */
export interface GroupOptions extends Pick<ChannelOptions, OfChannel> {
  /** What others may know this member by. */
  labels?: Record<string, string>;
  /**
   * Milliseconds of silence after which a host is replaced, and for which a new one waits for the
   * members that it knows of. Default 3000.
   */
  hostTimeout?: number;
  /**
   * Milliseconds for which a member that holds others up may make no progress before it is put out
   * of the view. Default 10 000.
   */
  stallTimeout?: number;
  /**
   * Bytes that this member may have under way in each face, and that each subscription holds.
   * Default 1 MiB.
   */
  window?: number;
  /** The longest payload, value or answer in bytes. Default 16 MiB. */
  maxPayload?: number;
  /** Bytes of all keys and values of all maps together. Default 64 MiB. */
  mapBytes?: number;
  /** How many members the group may have. Default 1024. */
  maxMembers?: number;
  /** Gives joining up. Nothing was joined then. */
  signal?: AbortSignal;
}

const STRINGS = ["app", "runtimeDir", "generationFile"] as const;
const NUMBERS = [
  "connectTimeout",
  "hostTimeout",
  "resumeTimeout",
  "stallTimeout",
  "window",
  "maxPayload",
  "mapBytes",
  "maxMembers",
] as const;

/** As the addon takes them. */
export function joinOptions(name: string, given: GroupOptions): NativeJoinOptions {
  if (typeof given !== "object" || given === null)
    throw invalidArgument(`the options of a group must be an object, not ${String(given)}`);
  const { labels = {}, scope, app } = given;
  for (const key of ["scope", "link"] as const)
    if (given[key] !== undefined) choose(given[key], key);
  const met = meeting({ ...(scope && { scope }), ...(app !== undefined && { app }) });
  const join: NativeJoinOptions = {
    name: typed(name, "string", "name"),
    program: program(),
    labels: Object.entries(labels).flatMap(([label, value]) => [
      label,
      typed(value, "string", `labels.${label}`),
    ]),
  };
  for (const key of STRINGS)
    if (given[key] !== undefined) join[key] = typed(given[key], "string", key);
  if (met.app === undefined) delete join.app;
  else join.app = met.app;
  for (const key of NUMBERS) if (given[key] !== undefined) join[key] = amount(given[key], key);
  if (given.link !== undefined) join.link = given.link;
  return join;
}

/** The script that runs here, for others to read. */
function program(): string {
  const script = process.argv[1];
  return basename(script === undefined || script === "" ? process.execPath : script);
}
