// Metrics of all processes of a group, on any of them.
import * as prometheus from "prom-client";
import { AggregatorRegistry, register, type Registry } from "prom-client";
import type { Group } from "../group/group.js";
import { checkGroup } from "./group.js";

/** Options of `workerMetrics`. */
export interface WorkerMetricsOptions {
  /** What this process tells. Default: the global registry of prom-client. */
  registry?: Registry | readonly Registry[];
  /** The service of the group that answers. Default `"prom-client"`. */
  service?: string;
}

/** Options of `WorkerMetrics.collect`. */
export interface CollectOptions {
  /** How long an answer may take, in milliseconds. Default 5000. */
  timeout?: number;
  /** Gives up. */
  signal?: AbortSignal;
}

/** The metrics of all workers. Members are named by their ids. */
export interface CollectedMetrics {
  /** The metrics, aggregated over the workers that answered. */
  text: string;
  /** For the header Content-Type. */
  contentType: string;
  answered: string[];
  /** They were asked, and left or died before they answered. */
  died: string[];
  /** They had not answered in time. */
  timedOut: string[];
  /** Their registry failed, or their answer could not be used. */
  failed: Map<string, Error>;
}

/** The metrics of one process as it tells them, one array for each of its registries. */
type Told = { name: string; aggregator: string; values: object[] }[][];

const DEFAULT_TIMEOUT = 5_000;

/** Its types do not have them. */
const { aggregators } = prometheus as unknown as { aggregators: object };

/** The part of this process in the metrics of all, from `workerMetrics`. */
export class WorkerMetrics {
  readonly #group: Group;
  readonly #service: string;
  readonly #contentType: Registry["contentType"];
  readonly #served: { close(): Promise<void> };

  /** @internal */
  constructor(
    group: Group,
    service: string,
    contentType: Registry["contentType"],
    served: { close(): Promise<void> },
  ) {
    this.#group = group;
    this.#service = service;
    this.#contentType = contentType;
    this.#served = served;
  }

  /**
   * Asks all workers, this one too, and aggregates their answers as prom-client's cluster support
   * does. A worker that is dead, silent or failing is named in the result, and counted in the
   * metric `open_channel_workers`; the others' metrics are there all the same.
   */
  async collect(options: CollectOptions = {}): Promise<CollectedMetrics> {
    const { timeout = DEFAULT_TIMEOUT, signal } = options;
    const answers = await this.#group.callAll(this.#service, null, { timeout, signal });
    const failed = new Map<string, Error>(answers.failed);
    const told = new Map<string, Told>();
    for (const [id, answer] of answers.answered) {
      try {
        told.set(id, parse(answer));
      } catch (cause) {
        failed.set(id, new Error(`what member ${id} answered is no metrics`, { cause }));
      }
    }
    const { died, timedOut } = answers;
    const counts = {
      answered: told.size,
      died: died.length,
      timed_out: timedOut.length,
      failed: failed.size,
    };
    const all = [...told.values()].flat();
    all.push([workers(counts)]);
    const registry = AggregatorRegistry.aggregate(all) as Registry;
    registry.setContentType(this.#contentType as never);
    return {
      text: await registry.metrics(),
      contentType: registry.contentType,
      answered: [...told.keys()],
      died: [...died],
      timedOut: [...timedOut],
      failed,
    };
  }

  /** Answers no more. The group stays as it is. */
  close(): Promise<void> {
    return this.#served.close();
  }
}

/**
 * Tells the metrics of this process to all members of the group, and collects theirs. Every worker
 * calls it, once.
 */
export async function workerMetrics(
  group: Group,
  { registry = register, service = "prom-client" }: WorkerMetricsOptions = {},
): Promise<WorkerMetrics> {
  checkGroup(group, "workerMetrics");
  const registries = [registry].flat() as Registry[];
  const tell = () => Promise.all(registries.map((one) => one.getMetricsAsJSON()));
  // As text: a metric may hold what cannot be cloned, as prom-client itself sends JSON.
  const served = await group.serve(service, async () => JSON.stringify(await tell()));
  const { contentType } = registries[0] ?? register;
  return new WorkerMetrics(group, service, contentType, served);
}

/** How many workers there were to ask, as a metric: a sum over fewer workers would look as any. */
function workers(counts: Record<string, number>): Told[number][number] {
  const metric = {
    name: "open_channel_workers",
    help: "Workers that were asked for their metrics, by how that ended.",
    type: "gauge",
    aggregator: "sum",
    values: Object.entries(counts).map(([state, value]) => ({ value, labels: { state } })),
  };
  return metric;
}

/** @throws If that is not what `workerMetrics` tells. */
function parse(answer: unknown): Told {
  const told: unknown = JSON.parse(String(answer));
  for (const metric of (told as Told).flat()) {
    if (typeof metric?.name !== "string" || !Array.isArray(metric.values))
      throw new TypeError("it has metrics without a name or values");
    if (!Object.hasOwn(aggregators, metric.aggregator))
      throw new TypeError(`the metric ${metric.name} has no aggregator that prom-client knows`);
  }
  return told as Told;
}
