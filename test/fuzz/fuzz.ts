/** Runs jobs on worker threads and watches over them: a worker that hangs or dies becomes a finding. */
import { Worker } from 'node:worker_threads';
import { loadCorpus } from './corpus.ts';
import type { Finding, FromWorker, Job, JobResult } from './job.ts';
import { sharesOf } from './shares.ts';
import { Slot } from './slot.ts';
import type { Target } from './target.ts';
import { Watchdog } from './watchdog.ts';

export interface FuzzOptions {
  targets: readonly Target[];
  seed: number;
  workers: number;
  /** All inputs together, shared out by shares.ts. Infinity: each target gets the same time instead. */
  inputs: number;
  /** Wall time after which the run ends, however many inputs there were. */
  seconds: number;
  /** Inputs of each part of a target, at most, that run with coverage measured. */
  explore: number;
  onFinding?: (finding: Finding) => void;
  onTarget?: (row: TargetReport) => void;
}

export interface TargetReport extends JobResult {
  target: string;
  from: Target['from'];
  /** Inputs per second of processor time. */
  perSecond: number;
  findings: number;
}

export interface FuzzReport {
  seed: number;
  seconds: number;
  cpuSeconds: number;
  inputs: number;
  targets: TargetReport[];
  findings: Finding[];
}

const LOOK_EVERY_MS = 250;
const HEAP_MB = 384;
const EMPTY: JobResult = { inputs: 0, accepted: 0, refused: 0, cpuMs: 0, corpus: 0, reached: 0, grownBytes: 0 };

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const started = performance.now();
  const findings: Finding[] = [];
  const reports = new Map<string, { target: Target; jobs: JobResult[]; left: number }>();
  const jobs = jobsFor(options);
  for (const target of options.targets)
    reports.set(target.name, { target, jobs: [], left: jobs.filter((job) => job.target === target.name).length });
  const found = (finding: Finding) => {
    findings.push(finding);
    options.onFinding?.(finding);
  };
  const row = (name: string): TargetReport => {
    const { target, jobs } = reports.get(name) as { target: Target; jobs: JobResult[] };
    const sum = jobs.reduce(add, EMPTY);
    return {
      target: name,
      from: target.from,
      ...sum,
      perSecond: sum.cpuMs === 0 ? 0 : Math.round((1000 * sum.inputs) / sum.cpuMs),
      findings: findings.filter((it) => it.target === name).length,
    };
  };
  const work = async () => {
    let thread: Thread | undefined;
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      thread ??= await Thread.start();
      const left = 1000 * options.seconds - (performance.now() - started);
      const { result, alive } = await thread.run({ ...job, milliseconds: Math.min(job.milliseconds, left) }, found);
      if (!alive) thread = undefined;
      const report = reports.get(job.target);
      report?.jobs.push(result);
      if (report !== undefined && --report.left === 0) options.onTarget?.(row(job.target));
    }
    await thread?.stop();
  };
  await Promise.all(Array.from({ length: options.workers }, work));
  const targets = [...reports.keys()].map(row);
  return {
    seed: options.seed,
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: targets.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / 1000,
    inputs: targets.reduce((sum, { inputs }) => sum + inputs, 0),
    targets,
    findings,
  };
}

const add = (a: JobResult, b: JobResult): JobResult => ({
  inputs: a.inputs + b.inputs,
  accepted: a.accepted + b.accepted,
  refused: a.refused + b.refused,
  cpuMs: a.cpuMs + b.cpuMs,
  corpus: Math.max(a.corpus, b.corpus),
  reached: Math.max(a.reached, b.reached),
  grownBytes: Math.max(a.grownBytes, b.grownBytes),
});

/** As many parts of each target as there are workers, so that all of them are busy to the end. */
function jobsFor({ targets, seed, workers, inputs, seconds, explore }: FuzzOptions): Job[] {
  const shares = sharesOf(targets, inputs);
  return targets.flatMap((target, i) => {
    const corpus = loadCorpus(target.name);
    const share = Math.ceil((shares[i] ?? 0) / workers);
    return Array.from({ length: workers }, (_, part) => ({
      target: target.name,
      seed,
      part,
      inputs: share,
      milliseconds: (1000 * seconds) / (inputs === Infinity ? targets.length : 1),
      explore: Math.min(explore, Math.floor(share / 4)),
      corpus,
    }));
  });
}

/** A worker thread with its watchdog. */
class Thread {
  readonly #worker: Worker;
  readonly #slot: Slot;
  readonly #watchdog: Watchdog;

  private constructor(worker: Worker, slot: Slot, thread: string) {
    this.#worker = worker;
    this.#slot = slot;
    this.#watchdog = new Watchdog(slot, thread);
  }

  static async start(): Promise<Thread> {
    const slot = new Slot();
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { memory: slot.memory },
      execArgv: [], // a test runner's own loader has nothing to do here
      env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' }, // V8 counts code from a cache less precisely
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
      stdout: true,
      stderr: true,
    });
    const { promise, resolve, reject } = Promise.withResolvers<FromWorker>();
    worker.once('message', resolve).once('error', reject);
    const message = await promise;
    worker.off('error', reject);
    if (message.kind !== 'ready') throw new Error(`a worker began with ${message.kind}`);
    return new Thread(worker, slot, message.thread);
  }

  /** @returns alive: whether this thread can take another job. */
  run(job: Job, found: (finding: Finding) => void): Promise<{ result: JobResult; alive: boolean }> {
    const { promise, resolve } = Promise.withResolvers<{ result: JobResult; alive: boolean }>();
    const onMessage = (message: FromWorker) => {
      if (message.kind === 'finding') found(message.finding);
      if (message.kind === 'done') finish(message.result, true);
    };
    const finish = (result: JobResult, alive: boolean) => {
      clearInterval(timer);
      this.#worker.off('message', onMessage).off('error', onError);
      resolve({ result, alive });
    };
    const broken = (kind: Finding['kind'], detail: string) => {
      found({ target: job.target, kind, detail, input: this.#slot.input });
      finish({ ...EMPTY, ...this.#slot.counts }, false);
    };
    const onError = (error: Error & { code?: string }) =>
      broken(error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'memory' : 'died', `${error.name}: ${error.message}`);
    const timer = setInterval(() => {
      const wrong = this.#watchdog.look();
      if (wrong === undefined) return;
      broken(wrong, wrong === 'hang' ? 'more than a second of processor time for one input' : 'no answer in a minute');
      void this.#worker.terminate();
    }, LOOK_EVERY_MS);
    this.#worker.on('message', onMessage).on('error', onError);
    this.#worker.postMessage(job);
    return promise;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
