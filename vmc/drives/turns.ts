/** Work on drives: one piece at a time for each, among processes too, on a device that stays the same one, undone when it fails half way. */
import { wipe } from '../../shared/bytes.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { Undo } from '../../shared/undo.ts';
import { lockDrive, RUN_FOLDER } from './drive-lock.ts';
import { findDevice, holdDevice, waitForDevice } from './find-device.ts';

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

export class DriveTurns {
  readonly #options: TurnsOptions;
  readonly #mutex = new KeyedMutex();

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Waits for its turn.
   * @param work gets the descriptor that holds the drive's lock: a command that goes on writing when vmc is killed
   * inherits it, so that nobody else begins meanwhile. Undefined when the drive is not attached: nothing is locked then.
   * @throws VmcError 'busy' when too many wait, or another process has the drive; what `signal` was aborted with.
   */
  run<T>(driveId: string, { signal }: Stoppable, work: (lock: number | undefined) => Promise<T>): Promise<T> {
    return this.#mutex.run(driveId, async () => {
      signal.throwIfAborted();
      return (await findDevice(driveId)) === undefined ? work(undefined) : this.#locked(driveId, signal, work);
    });
  }

  /** As `run`, with the drive's device, which stays the same one. The secrets are overwritten whatever happens. */
  async withDevice<T>(
    { driveId, secrets }: { driveId: string; secrets: readonly Uint8Array[] },
    { signal }: Stoppable,
    work: (device: string, lock: number) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#mutex.run(driveId, async () => {
        signal.throwIfAborted();
        const device = await waitForDevice(driveId, this.#options.deviceTimeoutMs ?? 15_000);
        return this.#locked(driveId, signal, (lock) => holdDevice(driveId, device, () => work(device, lock)));
      });
    } finally {
      for (const secret of secrets) wipe(secret);
    }
  }

  async #locked<T>(driveId: string, signal: AbortSignal, work: (lock: number) => Promise<T>): Promise<T> {
    const { runFolder: folder = RUN_FOLDER, lockTimeoutMs: waitMs = 30_000 } = this.#options;
    const lock = await lockDrive(driveId, { folder, waitMs, signal });
    try {
      signal.throwIfAborted();
      return await work(lock.fd);
    } finally {
      await lock.release();
    }
  }

  async undoing(work: (undo: Undo) => Promise<void>): Promise<void> {
    const undo = new Undo();
    try {
      await work(undo);
      undo.commit();
    } catch (error) {
      for (const { what, error: failure } of await undo.rollBack()) this.#options.onUndoFailed(what, failure);
      throw error;
    }
  }
}
