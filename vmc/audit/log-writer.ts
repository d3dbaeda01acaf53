/**
 * Appends records to the log: one after the other in the chain, many in one fsync (group commit). Nobody is answered before
 * their record is on the disk. What could not be written is counted, and told as a gap once writing works again.
 */
import { rm } from 'node:fs/promises';
import { signCheckpoint } from '../../shared/audit/chain.ts';
import { CHECKPOINT_EVERY, type CheckpointRecord, type EventFields } from '../../shared/audit/record.ts';
import type { Head } from '../../shared/audit/verifier.ts';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { type Binding, LogFile, type LogState } from './log-file.ts';
import { listFull } from './log-files.ts';
import { link, planBatch } from './plan-batch.ts';
import { giveUpReserve, isFull, keepReserve } from './reserve.ts';

export interface Signer {
  identity: Identity;
  vmId: string;
}

export interface WriterOptions {
  now: () => Date;
  /** A file is full at so many bytes. */
  maxBytes: number;
  /** So many full files are kept; 0: all. */
  keepFiles: number;
  /** Told once when writing stops to work, when the reserve is taken, and of damage found; not for each record. */
  onProblem: (problem: string) => void;
  /** Told once when writing works again. */
  onRecovered: () => void;
}

interface Waiting {
  at: string;
  event: EventFields;
  resolve(seq: number): void;
  reject(error: unknown): void;
}

export type Checkpoint = Head & { at: string };

const MAX_WAITING = 1000;

export class LogWriter {
  readonly #stateDir: string;
  readonly #options: WriterOptions;
  #file: LogFile | undefined;
  #state: LogState;
  #signer: Signer | undefined;
  #unsigned = 0;
  #checkpointDue = false;
  #lastCheckpoint: Checkpoint | undefined;
  #lost = 0;
  #failing = false;
  #reserved = false;
  #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;

  private constructor(stateDir: string, options: WriterOptions, file: LogFile | undefined, state: LogState) {
    this.#stateDir = stateDir;
    this.#options = options;
    this.#file = file;
    this.#state = state;
  }

  static async open(stateDir: string, options: WriterOptions): Promise<LogWriter> {
    const { file, state } = await LogFile.resume(stateDir, options.onProblem);
    const writer = new LogWriter(stateDir, options, file, state);
    if (state.torn !== undefined)
      options.onProblem(`A crash left ${state.torn.bytes} bytes half written; they are kept, and told of in the log.`);
    await writer.#keepReserve();
    return writer;
  }

  get head(): Head {
    return this.#state.head;
  }

  get log(): string {
    return this.#state.log;
  }

  /** The number of the file that is written to; 0 before there is one. */
  get file(): number {
    return this.#state.file;
  }

  get lastCheckpoint(): Checkpoint | undefined {
    return this.#lastCheckpoint;
  }

  /** Bytes of the file in use that are safe to read. */
  get safeBytes(): number {
    return this.#file?.size ?? 0;
  }

  get isFailing(): boolean {
    return this.#failing;
  }

  /** Only the reserve is left, or less: too dear for what strangers cause. */
  get isShort(): boolean {
    return this.#failing || !this.#reserved;
  }

  /** @returns the record's number once it is on disk. @throws when it could not be written; the loss is then counted. */
  append(event: EventFields): Promise<number> {
    if (this.#queue.length >= MAX_WAITING) {
      this.#lost++;
      return Promise.reject(new VmcError('limit', 'Too many events wait to be written to the audit log.'));
    }
    const at = this.#options.now().toISOString();
    return new Promise((resolve, reject) => {
      this.#queue.push({ at, event, resolve, reject });
      void this.#start();
    });
  }

  /** From now on the log is signed. Resolves when a first checkpoint is written, or could not be. */
  signWith(signer: Signer): Promise<void> {
    this.#signer = signer;
    this.#checkpointDue = true;
    return this.#start();
  }

  /** At intervals: signs what is new, and looks after file and reserve. Never throws. */
  async tend(): Promise<void> {
    await this.#draining;
    try {
      if (this.#file !== undefined && !(await this.#file.isInPlace())) {
        this.#options.onProblem('Somebody moved the audit log away or replaced it: a new file goes on.');
        await this.#startAgain();
      }
    } catch (error) {
      this.#failed(error);
    }
    await this.#keepReserve();
    if (this.#signer !== undefined && this.#unsigned > 0) this.#checkpointDue = true;
    await this.#start();
  }

  async close(): Promise<void> {
    await this.#start(); // what still waits is signed too: a checkpoint comes before the events of its own write
    if (this.#signer !== undefined && this.#unsigned > 0) this.#checkpointDue = true;
    await this.#start();
    await this.#file?.close();
    this.#file = undefined;
  }

  #start(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    await Promise.resolve(); // whoever calls in the same turn gets into the same write
    let worked = true;
    // A checkpoint alone that fails stays due for the next time.
    while (this.#queue.length > 0 || (this.#checkpointDue && worked))
      worked = await this.#commit(this.#queue.splice(0, this.#roomBeforeCheckpoint()));
    this.#draining = undefined; // in the same turn as the last look at the queue
  }

  #roomBeforeCheckpoint(): number {
    const unsigned = this.#signer === undefined || this.#checkpointDue ? 0 : this.#unsigned;
    return Math.max(1, CHECKPOINT_EVERY - unsigned);
  }

  async #commit(batch: readonly Waiting[]): Promise<boolean> {
    try {
      const first = await this.#writeOrTakeReserve(batch);
      for (const [i, waiting] of batch.entries()) waiting.resolve(first + i);
    } catch (error) {
      this.#lost += batch.length;
      this.#failed(error);
      for (const waiting of batch) waiting.reject(error);
      return false;
    }
    if (this.#failing) this.#options.onRecovered();
    this.#failing = false;
    await this.#rotateWhenFull();
    return true;
  }

  async #writeOrTakeReserve(batch: readonly Waiting[]): Promise<number> {
    try {
      return await this.#write(batch);
    } catch (error) {
      if (!isFull(error) || !(await giveUpReserve(this.#stateDir))) throw error;
      this.#reserved = false;
      this.#options.onProblem('The disk is full: the audit log now takes the room it had kept for this. Make room.');
      return await this.#write(batch);
    }
  }

  /** @returns the number of the first event of the batch. */
  async #write(batch: readonly Waiting[]): Promise<number> {
    const at = batch[0]?.at ?? this.#options.now().toISOString();
    const file = this.#file ?? (await this.#nextFile(at));
    await this.#tellOfCrash(file, at);
    const lost = this.#lost;
    const sign = this.#checkpointDue ? this.#sign : undefined;
    this.#checkpointDue = false;
    const planned = planBatch({ head: this.#state.head, at, sign, lost, events: batch });
    try {
      await file.append(planned.bytes);
    } catch (error) {
      this.#checkpointDue ||= sign !== undefined;
      throw error;
    }
    this.#state = { ...this.#state, head: planned.head };
    this.#lost -= lost;
    this.#unsigned = planned.unsigned + (sign === undefined ? this.#unsigned : 0);
    this.#lastCheckpoint = planned.checkpoint ?? this.#lastCheckpoint;
    this.#checkpointDue ||= this.#signer !== undefined && this.#unsigned >= CHECKPOINT_EVERY;
    return planned.first;
  }

  /** In a write of its own: what explains the torn bytes must not be torn together with what comes after. */
  async #tellOfCrash(file: LogFile, at: string): Promise<void> {
    const { torn, head: before } = this.#state;
    if (torn === undefined) return;
    const { bytes, sha256 } = torn;
    const { line, head } = link(before, (seq, prev) => ({ seq, at, prev, what: 'log.torn', bytes, sha256 }));
    await file.append(line);
    this.#state = { ...this.#state, head, torn: undefined };
    this.#unsigned++;
  }

  #sign = (fields: Pick<CheckpointRecord, 'seq' | 'at' | 'prev'>): CheckpointRecord => {
    const { identity, vmId } = this.#signer as Signer;
    return signCheckpoint(identity, { ...fields, log: this.#state.log, vm: vmId });
  };

  async #rotateWhenFull(): Promise<void> {
    if ((this.#file?.size ?? 0) < this.#options.maxBytes) return;
    try {
      if (this.#signer !== undefined && this.#unsigned > 0) {
        this.#checkpointDue = true;
        await this.#write([]);
      }
      await this.#nextFile(this.#options.now().toISOString());
      await this.#prune();
    } catch (error) {
      this.#failed(error); // the old file takes more, until a new one can be made
      await this.#startAgain().catch((again: unknown) => this.#failed(again));
    }
  }

  async #nextFile(at: string): Promise<LogFile> {
    const old = this.#file;
    const { file, state } = await LogFile.create(this.#stateDir, this.#state, at, this.#binding());
    this.#file = file;
    this.#state = state;
    this.#unsigned++;
    await old?.close();
    return file;
  }

  #binding(): Binding | undefined {
    if (this.#signer === undefined) return undefined;
    const { identity, vmId } = this.#signer;
    return { vm: vmId, key: identity.public.ed25519.toBase64() };
  }

  async #prune(): Promise<void> {
    const { keepFiles } = this.#options;
    if (keepFiles === 0) return;
    const full = await listFull(this.#stateDir);
    const old = full.slice(0, Math.max(0, full.length - keepFiles));
    for (const { path } of old) await rm(path);
    if (old.length === 0) return;
    const target = `files ${old[0]?.file} to ${old.at(-1)?.file}`;
    void this.append({ who: 'vmc', what: 'audit.pruned', target, result: 'ok' }).catch(() => {});
  }

  /** From what is on the disk: after a change of files that failed half-way, or when somebody moved the file away. */
  async #startAgain(): Promise<void> {
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
    const { file, state } = await LogFile.resume(this.#stateDir, this.#options.onProblem);
    this.#file = file;
    // A file that vanished took its records along: the chain goes on from what was written, and verifying shows the hole.
    this.#state = state.head.seq >= this.#state.head.seq ? state : { ...this.#state, torn: state.torn };
  }

  async #keepReserve(): Promise<void> {
    this.#reserved = await keepReserve(this.#stateDir).catch(() => false); // `isShort` says so
  }

  #failed(error: unknown): void {
    if (!this.#failing) this.#options.onProblem(`The audit log cannot be written: ${errorMessage(error)}`);
    this.#failing = true;
  }
}
