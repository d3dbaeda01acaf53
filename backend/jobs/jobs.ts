/**
 * Long work on hosts, in memory: what runs, how far it is, how it ended. While a job works nothing else begins on what it
 * works on. A backend that stops cuts its links, and the agents undo what they had half made.
 */
import { publicError, VmcError } from '../../shared/errors.ts';
import type { KeyedMutex } from '../../shared/keyed-mutex.ts';
import { printable } from '../../shared/printable.ts';
import type { JOB_KINDS, Job } from '../../shared/rest-api/jobs.ts';
import type { Method, ParamsIn, Progress, ResultOut } from '../../shared/rpc/method.ts';
import type { CallOptions } from '../../shared/rpc/peer.ts';
import type { HostLinks } from '../hosts/links.ts';
import { makeId } from '../store/hashes.ts';

/** Of an agent's call: the file of a large drive is written in hours. */
const CALL_TIMEOUT_MS = 24 * 3_600_000;
/** For an agent that was told to stop. */
const SETTLE_MS = 5 * 60_000;
const KEEP_ENDED_MS = 3_600_000;

export interface JobLimits {
  /** So that nobody alone keeps everybody else from a host. */
  runningPerUserOnHost: number;
  runningPerUser: number;
  runningPerHost: number;
  running: number;
  endedPerUser: number;
  ended: number;
  waitsPerUser: number;
  /** Milliseconds between two versions that tell of progress only. */
  progressMs: number;
}

export const JOB_LIMITS: JobLimits = {
  runningPerUserOnHost: 4,
  runningPerUser: 8,
  runningPerHost: 16, // an agent answers 32 calls at once, and short ones want their place
  running: 64,
  endedPerUser: 50,
  ended: 500,
  waitsPerUser: 32,
  progressMs: 250,
};

export type CallHost = <M extends Method>(method: M, params: ParamsIn<M>) => Promise<ResultOut<M>>;

export interface JobSpec {
  kind: (typeof JOB_KINDS)[number];
  userId: string;
  hostId: string;
  target: string;
  /** Of the mutex: they are held for as long as it works. */
  keys: readonly string[];
  /** Done at once, when there is room for the job; if it throws there is none. */
  prepare?: () => void;
  /** @param call the host's agent, with the job's progress and cancel. @returns the job's result. */
  work(call: CallHost): Promise<unknown>;
}

export interface JobsDeps {
  links: Pick<HostLinks, 'call'>;
  mutex: KeyedMutex;
  now: () => number;
  ended(job: Job): void;
  /** The work threw what is no refusal. */
  failed(job: Job, error: unknown): void;
  limits?: JobLimits;
}

interface Entry {
  readonly spec: JobSpec;
  readonly job: Job;
  readonly cancel: AbortController;
  readonly waiters: Set<() => void>;
  progress: NodeJS.Timeout | undefined;
  working: Promise<void>;
}

export class Jobs {
  readonly #deps: JobsDeps;
  readonly #limits: JobLimits;
  /** Oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #waits = new Map<string, number>();
  #closed = false;

  constructor(deps: JobsDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? JOB_LIMITS;
  }

  /** @throws VmcError 'busy' when another job works on the same, 'limit'. */
  begin(spec: JobSpec): Job {
    this.#requireIdle(spec.keys);
    this.#requireRoom(spec);
    spec.prepare?.();
    const job: Job = {
      jobId: makeId('job-', 8),
      kind: spec.kind,
      userId: spec.userId,
      target: spec.target,
      state: 'running',
      version: 1,
      startedAt: this.#deps.now(),
    };
    const cancel = new AbortController();
    const entry: Entry = { spec, job, cancel, waiters: new Set(), progress: undefined, working: Promise.resolve() };
    this.#entries.set(job.jobId, entry);
    entry.working = this.#work(entry);
    return { ...job };
  }

  /** Short work: it waits for other short work, not for a job. @throws VmcError 'busy'. */
  async whenIdle<T>(keys: string | readonly string[], work: () => Promise<T>): Promise<T> {
    this.#requireIdle(typeof keys === 'string' ? [keys] : keys);
    return this.#deps.mutex.run(keys, work);
  }

  worksOn(key: string): boolean {
    return this.#running().some((it) => it.spec.keys.includes(key));
  }

  /** Of one person, or of everybody; oldest first. */
  list(userId?: string): Job[] {
    this.#forgetOld();
    const all = [...this.#entries.values()].map((it) => ({ ...it.job }));
    return userId === undefined ? all : all.filter((it) => it.userId === userId);
  }

  get(jobId: string): Job | undefined {
    this.#forgetOld();
    const entry = this.#entries.get(jobId);
    return entry && { ...entry.job };
  }

  /** Told to stop, a job goes on until its host says how it ended. */
  cancel(jobId: string): Job | undefined {
    const entry = this.#entries.get(jobId);
    if (entry !== undefined && entry.job.state === 'running' && !entry.cancel.signal.aborted) {
      entry.job.step = 'cancelling';
      this.#changed(entry);
      entry.cancel.abort(new VmcError('cancelled', 'It was cancelled.'));
    }
    return this.get(jobId);
  }

  /**
   * Resolves with the job when it is newer than `version` or has ended, when the time is over, or when `gone` says so.
   * @param userId who waits. @throws VmcError 'limit'.
   */
  async wait(jobId: string, version: number, userId: string, ms: number, gone: AbortSignal): Promise<Job | undefined> {
    const entry = this.#entries.get(jobId);
    if (entry === undefined) return undefined;
    const isNews = () => entry.job.version > version || entry.job.state !== 'running' || this.#closed;
    if (isNews() || gone.aborted) return this.get(jobId);
    const waiting = this.#waits.get(userId) ?? 0;
    if (waiting >= this.#limits.waitsPerUser)
      throw new VmcError('limit', 'Too many of your requests wait for jobs.', 'Wait for one to be answered.');
    this.#waits.set(userId, waiting + 1);
    try {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          gone.removeEventListener('abort', done);
          entry.waiters.delete(woken);
          resolve();
        };
        const woken = () => {
          if (isNews()) done();
        };
        const timer = setTimeout(done, ms);
        gone.addEventListener('abort', done);
        entry.waiters.add(woken);
      });
    } finally {
      const left = (this.#waits.get(userId) ?? 1) - 1;
      if (left === 0) this.#waits.delete(userId);
      else this.#waits.set(userId, left);
    }
    return this.get(jobId);
  }

  /** Answers who waits, and resolves when nothing works any more: the links have to be cut before. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const entry of this.#entries.values()) this.#wake(entry);
    await Promise.all([...this.#entries.values()].map((it) => it.working));
  }

  async #work(entry: Entry): Promise<void> {
    const { spec, job } = entry;
    const options: CallOptions = {
      signal: entry.cancel.signal,
      timeoutMs: CALL_TIMEOUT_MS,
      settleMs: SETTLE_MS,
      onProgress: (progress) => this.#progressed(entry, progress),
    };
    const call: CallHost = (method, params) => this.#deps.links.call(spec.hostId, method, params, options);
    try {
      const result = await this.#deps.mutex.run(spec.keys, () => spec.work(call));
      job.state = 'done';
      job.result = result;
    } catch (error) {
      if (!(error instanceof VmcError)) this.#deps.failed({ ...job }, error);
      const { code, message, hint } = publicError(ofUnknownOutcome(error) ? unknownOutcome() : error);
      job.state = code === 'cancelled' ? 'cancelled' : 'failed';
      job.error = { code, message, ...(hint === undefined ? {} : { hint }) };
    }
    job.endedAt = this.#deps.now();
    clearTimeout(entry.progress);
    this.#changed(entry);
    this.#deps.ended({ ...job });
    this.#forgetOld();
  }

  /** A host may tell of progress as often as it likes; who waits is told now and then. */
  #progressed(entry: Entry, { step, done, total, unit }: Progress): void {
    const { job } = entry;
    if (job.state !== 'running' || entry.cancel.signal.aborted) return;
    const isStep = job.step !== printable(step);
    Object.assign(job, { step: printable(step), done, total, unit });
    if (isStep && entry.progress === undefined) this.#changed(entry);
    entry.progress ??= setTimeout(() => {
      entry.progress = undefined;
      this.#changed(entry);
    }, this.#limits.progressMs);
  }

  #changed(entry: Entry): void {
    entry.job.version++;
    this.#wake(entry);
  }

  #wake({ waiters }: Entry): void {
    for (const wake of [...waiters]) wake();
  }

  #running(): Entry[] {
    return [...this.#entries.values()].filter((it) => it.job.state === 'running');
  }

  #requireIdle(keys: readonly string[]): void {
    const other = this.#running().find((it) => it.spec.keys.some((key) => keys.includes(key)));
    if (other === undefined) return;
    const { kind, jobId } = other.job;
    throw new VmcError('busy', `It is being worked on: ${kind}, ${jobId}.`, 'Wait until that ends, or cancel it.');
  }

  #requireRoom({ userId, hostId }: JobSpec): void {
    const running = this.#running().map((it) => it.spec);
    const own = running.filter((it) => it.userId === userId);
    const limits = this.#limits;
    const refuse = (message: string, hint: string) => {
      throw new VmcError('limit', message, hint);
    };
    const ownHint = 'Wait until one has ended, or cancel one: connect job list';
    if (own.filter((it) => it.hostId === hostId).length >= limits.runningPerUserOnHost)
      refuse(`You have ${limits.runningPerUserOnHost} jobs on that host, the most one person may have there.`, ownHint);
    if (own.length >= limits.runningPerUser)
      refuse(`You have ${limits.runningPerUser} jobs that run, the most one person may have.`, ownHint);
    const hint = 'They are not all yours. Try again in a while.';
    if (running.filter((it) => it.hostId === hostId).length >= limits.runningPerHost)
      refuse(`${limits.runningPerHost} jobs run on that host, the most it takes.`, hint);
    if (running.length >= limits.running) refuse(`${limits.running} jobs run, the most there may be.`, hint);
    if (this.#closed) refuse('The backend is being stopped.', 'Try again in a while.');
  }

  #forgetOld(): void {
    const ended = [...this.#entries.values()].filter((it) => it.job.state !== 'running').reverse();
    const before = this.#deps.now() - KEEP_ENDED_MS;
    const kept = new Map<string, number>();
    for (const [at, { job }] of ended.entries()) {
      const ofPerson = (kept.get(job.userId) ?? 0) + 1;
      kept.set(job.userId, ofPerson);
      const isOld = (job.endedAt ?? 0) <= before;
      if (isOld || at >= this.#limits.ended || ofPerson > this.#limits.endedPerUser) this.#entries.delete(job.jobId);
    }
  }
}

/** The host was asked, and what it did is not known. */
export const ofUnknownOutcome = (error: unknown): boolean =>
  error instanceof VmcError && ['channel-closed', 'timeout', 'outcome-unknown'].includes(error.code);

const unknownOutcome = () =>
  new VmcError(
    'outcome-unknown',
    'The host has not answered to the end: whether it was done is not known yet.',
    'Once the host is connected again, look at what is there before you repeat it.',
  );
