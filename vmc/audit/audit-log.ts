/**
 * Who did what in this VM. `around` records an action before it begins and after it ended; `record` one event; `refuse`
 * what strangers cause. By default a log that cannot be written stops nobody: a full disk must not lock its owner out. With
 * failClosed an action that cannot be recorded is not begun.
 */
import type { EventFields } from '../../shared/audit/record.ts';
import { publicError, VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { LogWriter, type WriterOptions } from './log-writer.ts';
import { LogReader } from './read-page.ts';
import { Refusals } from './refusals.ts';

export type AuditEvent = Omit<EventFields, 'of'>;

export interface AuditDeps extends Pick<WriterOptions, 'now' | 'onProblem'> {
  onRecovered?: () => void;
}

export interface AuditOptions {
  failClosed: boolean;
  maxMegabytes: number;
  keepFiles: number;
}

const CHECKPOINT_MS = 60_000;

export class AuditLog {
  readonly #writer: LogWriter;
  /** For people who may read the log from afar. */
  readonly reader: LogReader;
  readonly #deps: AuditDeps;
  readonly #failClosed: boolean;
  readonly #refusals = new Refusals();
  readonly #timer: NodeJS.Timeout;

  private constructor(stateDir: string, writer: LogWriter, deps: AuditDeps, failClosed: boolean) {
    this.#writer = writer;
    this.reader = new LogReader(stateDir, writer);
    this.#deps = deps;
    this.#failClosed = failClosed;
    this.#timer = setInterval(() => void this.tend(), CHECKPOINT_MS).unref();
  }

  static async open(stateDir: string, deps: AuditDeps, options: AuditOptions): Promise<AuditLog> {
    const writer = await LogWriter.open(stateDir, {
      now: deps.now,
      onProblem: deps.onProblem,
      onRecovered: deps.onRecovered ?? (() => {}),
      maxBytes: options.maxMegabytes * 1_000_000,
      keepFiles: options.keepFiles,
    });
    return new AuditLog(stateDir, writer, deps, options.failClosed);
  }

  /** The last write failed. */
  get isFailing(): boolean {
    return this.#writer.isFailing;
  }

  /** From now on this VM's identity signs the log. */
  signWith(identity: Identity, vmId: string): Promise<void> {
    return this.#writer.signWith({ identity, vmId });
  }

  /** Resolves when it is on disk, or has failed, which `onProblem` was told. */
  async record(event: AuditEvent): Promise<void> {
    await this.#append(event).catch(() => {});
  }

  /** As `record`, for what goes on for long. @returns false when failClosed and it is not on the disk: then it must not go on. */
  async recordOn(event: AuditEvent): Promise<boolean> {
    try {
      await this.#append(event);
      return true;
    } catch {
      return !this.#failClosed;
    }
  }

  /**
   * Records that the work begins, does it, and records how it ended, all on disk before the caller has the answer.
   * @throws what the work throws; VmcError 'audit-unavailable' when failClosed and its beginning could not be recorded.
   */
  async around<T>(event: Omit<AuditEvent, 'result'>, work: () => Promise<T>): Promise<T> {
    const of = await this.#begin(event);
    let result = 'ok';
    try {
      return await work();
    } catch (error) {
      result = publicError(error).code;
      throw error;
    } finally {
      await this.#append({ ...event, of, result }).catch(() => {}); // it has happened: its answer stays true
    }
  }

  /** As `record`, for what strangers can cause as often as they like. */
  async refuse(event: AuditEvent): Promise<void> {
    const now = this.#deps.now().getTime();
    this.#summarise(this.#refusals.takeUnwritten(now));
    // Whoever the VM does not know can take as many names as they like.
    const who = event.result === 'unknown-person' ? 'unknown' : event.who;
    if (this.#refusals.admit(now, who, this.#writer.isShort)) await this.record(event);
  }

  /** What is done at intervals: signs what is new, looks after file and reserve. */
  async tend(): Promise<void> {
    this.#summarise(this.#refusals.takeUnwritten(this.#deps.now().getTime()));
    await this.#writer.tend();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#summarise(this.#refusals.takeAll());
    await this.#writer.close();
  }

  async #begin(event: Omit<AuditEvent, 'result'>): Promise<number | undefined> {
    try {
      return await this.#append({ ...event, result: 'begun' });
    } catch (cause) {
      if (!this.#failClosed) return undefined;
      throw new VmcError(
        'audit-unavailable',
        'This was not done: the audit log of the VM cannot be written, and nothing may be done unrecorded.',
        'Make room on the disk of the VM; vmc doctor says what is wrong.',
        { cause },
      );
    }
  }

  #append(event: EventFields): Promise<number> {
    return this.#writer.append(event);
  }

  #summarise(refusals: number): void {
    if (refusals > 0)
      void this.record({ who: 'vmc', what: 'audit.summarised', target: `${refusals} refusals`, result: 'ok' });
  }
}
