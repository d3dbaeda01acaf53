/** One job: inputs of the corpus, then mutated ones, each judged by its target's oracle. */
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Coverage } from './coverage.ts';
import type { Finding, Job, JobResult } from './job.ts';
import { Mutator } from './mutate.ts';
import { Random } from './random.ts';
import { shrink } from './shrink.ts';
import type { Slot } from './slot.ts';
import type { Parser, Target, Verdict } from './target.ts';

const MAX_CORPUS = 400;
/** A parser that keeps more than this from job to job keeps what strangers send. */
const MAX_GROWN_BYTES = 24 * 1024 * 1024;
/** Fewer inputs than this cannot tell a leak from what a parser makes once; and collecting garbage takes a while. */
const MEASURED_FROM = 4_000;
const LOOKS = 10;
const LOOK_AGAIN_MS = 50;
/** Inputs between two turns of the event loop, for parsers that need none. */
const BATCH = 256;
const EXPLORE_BATCH = 50;
/** Of the time, at most, in a run without an end by inputs. */
const EXPLORE_SHARE = 0.3;
const MAX_FINDINGS = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heldBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** V8 gives buffers back in the background, after the collection: what is too much counts only when it stays. */
async function grownSince(early: number): Promise<number> {
  let grown = heldBytes() - early;
  for (let look = 0; look < LOOKS && grown > MAX_GROWN_BYTES; look++) {
    await pause(LOOK_AGAIN_MS);
    grown = Math.min(grown, heldBytes() - early);
  }
  return grown;
}

export class Engine {
  readonly #target: Target;
  readonly #parser: Parser;
  readonly #job: Job;
  readonly #slot: Slot;
  readonly #report: (finding: Finding) => void;
  readonly #random: Random;
  readonly #corpus: Uint8Array[];
  readonly #verdicts = new Set<Verdict>();
  readonly #reported = new Set<string>();
  #rejected: unknown;

  constructor(target: Target, parser: Parser, job: Job, slot: Slot, report: (finding: Finding) => void) {
    this.#target = target;
    this.#parser = parser;
    this.#job = job;
    this.#slot = slot;
    this.#report = report;
    this.#random = new Random(job.seed, target.name, job.part);
    this.#corpus = [...job.corpus, ...parser.seeds];
  }

  async run(): Promise<JobResult> {
    const { inputs, milliseconds, explore } = this.#job;
    const started = performance.now();
    const cpu = process.threadCpuUsage();
    const onRejection = (reason: unknown) => {
      this.#rejected = reason ?? new Error('rejected with nothing');
    };
    process.on('unhandledRejection', onRejection);
    Error.stackTraceLimit = 0; // refusals are errors: writing down where they come from is most of their cost
    const mutator = new Mutator(this.#target);
    const reached = await this.#explore(mutator, explore);
    let early: number | undefined;
    for (let n = this.#slot.counts.inputs; n < inputs && this.#reported.size < MAX_FINDINGS; n++) {
      if (n % BATCH === 0) {
        await turn();
        const share = Math.max((performance.now() - started) / milliseconds, n / inputs);
        if (share >= 1) break;
        if (share > 0.25 && n >= MEASURED_FROM) early ??= heldBytes();
      }
      await this.#try(this.#next(mutator));
    }
    await turn();
    process.off('unhandledRejection', onRejection);
    this.#verdicts.clear();
    const grownBytes = early === undefined ? 0 : await grownSince(early);
    if (grownBytes > MAX_GROWN_BYTES) this.#found('memory', `${grownBytes} bytes more are held at the end`, undefined);
    const { user, system } = process.threadCpuUsage(cpu);
    return {
      ...this.#slot.counts,
      cpuMs: (user + system) / 1000,
      corpus: this.#corpus.length,
      reached,
      grownBytes,
    };
  }

  /**
   * Tries the corpus and then `count` mutated inputs, with coverage measured: slow, but what reaches new code joins the
   * corpus. Asking V8 costs milliseconds, so it is asked for a batch, and for each input only when there is news.
   * @returns how much code ran.
   */
  async #explore(mutator: Mutator, count: number): Promise<number> {
    const known = [...this.#corpus];
    if (count === 0) {
      for (const input of known) await this.#try(input);
      return 0;
    }
    const coverage = new Coverage();
    for (const input of known) await this.#try(input);
    coverage.news(true);
    const until = performance.now() + this.#job.milliseconds * EXPLORE_SHARE;
    for (let done = 0; done < count && performance.now() < until; done += EXPLORE_BATCH) {
      const batch = Array.from({ length: EXPLORE_BATCH }, () => this.#next(mutator));
      for (const input of batch) await this.#try(input);
      if (!coverage.news(false)) continue;
      for (const input of batch) {
        await this.#try(input);
        if (coverage.news(true)) this.#keep(input);
      }
    }
    coverage.stop();
    return coverage.reached;
  }

  #next(mutator: Mutator): Uint8Array {
    const mutated = mutator.mutate(this.#random.pick(this.#corpus), this.#random.pick(this.#corpus), this.#random);
    const { repair } = this.#parser;
    return repair !== undefined && this.#random.chance(0.5)
      ? repair.call(this.#parser, mutated, this.#random)
      : mutated;
  }

  async #try(input: Uint8Array): Promise<void> {
    this.#slot.begin(input);
    try {
      let verdict = this.#parser.run(input);
      if (typeof verdict !== 'string') {
        verdict = await verdict;
        await turn(); // what was left to run by itself may still fail
        if (this.#rejected !== undefined) throw this.#rejected;
      }
      this.#slot.count(verdict === 'accepted');
      this.#keepIfNew(input, verdict);
    } catch (error) {
      const kind = error === this.#rejected ? 'rejection' : 'threw';
      this.#rejected = undefined;
      await this.#foundError(kind, error, input);
    }
  }

  /** A new kind of answer shows new code too, and costs nothing to see. */
  #keepIfNew(input: Uint8Array, verdict: Verdict): void {
    if (this.#verdicts.has(verdict)) return;
    this.#verdicts.add(verdict);
    this.#keep(input);
  }

  #keep(input: Uint8Array): void {
    if (this.#corpus.length < MAX_CORPUS && !this.#corpus.includes(input)) this.#corpus.push(input);
  }

  async #foundError(kind: 'threw' | 'rejection', error: unknown, input: Uint8Array): Promise<void> {
    Error.stackTraceLimit = 30;
    const failure = async (candidate: Uint8Array) => {
      this.#slot.begin(candidate); // for the watchdog: each is an input of its own
      try {
        await this.#parser.run(candidate);
        return undefined;
      } catch (again) {
        return describe(again);
      }
    };
    const detail = kind === 'threw' ? ((await failure(input)) ?? describe(error)) : describe(error);
    if (!this.#reported.has(detail)) {
      const same = async (candidate: Uint8Array) => (await failure(candidate)) === detail;
      this.#found(kind, detail, kind === 'threw' ? await shrink(input, same) : input);
    }
    Error.stackTraceLimit = 0;
  }

  #found(kind: Finding['kind'], detail: string, input: Finding['input']): void {
    this.#reported.add(detail);
    this.#report({ target: this.#target.name, kind, detail, input });
  }
}

/** The same for all inputs that fail in the same way at the same place. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const place = error.stack
    ?.split('\n')
    .find((line) => /^\s+at /.test(line) && !/node:|\/test\/fuzz\/target\.ts/.test(line))
    ?.replace(/^\s+at |file:\/\/|:\d+\)?$/g, '')
    .replace(process.cwd(), '.');
  return `${error.name}: ${error.message.replace(/\d+|"[^"]*"?/g, '_').slice(0, 80)} at ${place}`;
}
