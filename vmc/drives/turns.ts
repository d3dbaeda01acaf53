/** Work on drives: one piece at a time for each, among processes too, on a device that stays the same one, undone when it fails half way. */
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { Undo } from '../../shared/undo.ts';
import { lockDrive, RUN_FOLDER } from './drive-lock.ts';
import { findDevice, holdDevice, waitForDevice } from './find-device.ts';
import { requireStaying } from './leaving.ts';
import { settleReencryption } from './reencrypt.ts';
import { findTorn, requireWhole, type Torn } from './torn.ts';

export interface TurnsOptions {
  /** How long a drive that was just attached may take to show; default 15 s. */
  deviceTimeoutMs?: number;
  /** How long another process may have the drive; default 30 s. */
  lockTimeoutMs?: number;
  /** Where the locks are; default /run/vmc/drives. */
  runFolder?: string;
  /** Told of each step that could not be undone. */
  onUndoFailed: (what: string, error: unknown) => void;
}

/** Heeded until the work begins: the caller may have gone, or lost the right, while others had the drive. */
export type Stoppable = Pick<CallContext, 'signal'>;

/** A drive at the beginning of its turn. */
export interface Found {
  device?: string | undefined;
  /** Open on a disk that has gone. */
  torn?: Torn | undefined;
}

export class DriveTurns {
  readonly #options: TurnsOptions;
  readonly #runFolder: string;
  readonly #mutex = new KeyedMutex();
  /** Drives that are being re-encrypted, which takes hours: nobody waits for that. */
  readonly #reencrypting = new Set<string>();

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#runFolder = options.runFolder ?? RUN_FOLDER;
  }

  /**
   * Waits for its turn.
   * @param work gets nothing when the drive is not there: nothing is locked then.
   * @throws VmcError 'busy' when too many wait, or another process has the drive; what `signal` was aborted with.
   */
  run<T>(driveId: string, { signal }: Stoppable, work: (found: Found) => Promise<T>): Promise<T> {
    return this.#inTurn(driveId, async () => {
      signal.throwIfAborted();
      if ((await findDevice(driveId)) === undefined && (await findTorn(driveId)) === undefined) return work({});
      return this.#locked(driveId, signal, async () => {
        const device = await findDevice(driveId); // another disk may have got its name while we waited
        const torn = await findTorn(driveId);
        // What was re-encrypting a disk that has gone ended with it.
        if (device !== undefined && torn === undefined)
          await holdDevice(driveId, device, () => settleReencryption(driveId, device));
        return work({ device, torn });
      });
    });
  }

  /**
   * As `run`, with the drive's device, which stays the same one. The secrets are overwritten whatever happens.
   * @param work gets the descriptor that holds the drive's lock: a command that goes on writing when vmc is killed
   * inherits it, so that nobody else begins meanwhile.
   * @throws VmcError 'wrong-state' when its disk was taken away, also meanwhile; 'busy' when it was closed to be detached.
   * @param request `reencrypting`: it takes hours, so that others are refused at once, and it takes over what goes on.
   */
  async withDevice<T>(
    request: { driveId: string; secrets: readonly Uint8Array[]; reencrypting?: true },
    { signal }: Stoppable,
    work: (device: string, lock: number) => Promise<T>,
  ): Promise<T> {
    const { driveId, secrets, reencrypting } = request;
    try {
      return await this.#inTurn(driveId, async () => {
        signal.throwIfAborted();
        const device = await waitForDevice(driveId, this.#options.deviceTimeoutMs ?? 15_000);
        return this.#locked(driveId, signal, (lock) =>
          holdDevice(driveId, device, async () => {
            await requireWhole(driveId);
            await requireStaying(this.#runFolder, driveId, device);
            try {
              if (reencrypting) return await this.#whileReencrypting(driveId, () => work(device, lock));
              await settleReencryption(driveId, device);
              return await work(device, lock);
            } catch (error) {
              await requireWhole(driveId, error);
              throw error;
            }
          }),
        );
      });
    } finally {
      for (const secret of secrets) wipe(secret);
    }
  }

  async #inTurn<T>(driveId: string, work: () => Promise<T>): Promise<T> {
    if (!this.#reencrypting.has(driveId)) return this.#mutex.run(driveId, work);
    throw new VmcError(
      'busy',
      `The drive ${driveId} is being re-encrypted.`,
      'Wait for that, or stop it: it goes on when asked again.',
    );
  }

  async #whileReencrypting<T>(driveId: string, work: () => Promise<T>): Promise<T> {
    this.#reencrypting.add(driveId);
    try {
      return await work();
    } finally {
      this.#reencrypting.delete(driveId);
    }
  }

  async #locked<T>(driveId: string, signal: AbortSignal, work: (lock: number) => Promise<T>): Promise<T> {
    const waitMs = this.#options.lockTimeoutMs ?? 30_000;
    const lock = await lockDrive(driveId, { folder: this.#runFolder, waitMs, signal });
    try {
      signal.throwIfAborted();
      return await work(lock.fd);
    } finally {
      await lock.release();
    }
  }

  async undoing<T>(work: (undo: Undo) => Promise<T>): Promise<T> {
    const undo = new Undo();
    try {
      const result = await work(undo);
      undo.commit();
      return result;
    } catch (error) {
      for (const { what, error: failure } of await undo.rollBack()) this.#options.onUndoFailed(what, failure);
      throw error;
    }
  }
}
