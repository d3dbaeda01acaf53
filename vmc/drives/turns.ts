/** Work on drives: one piece at a time for each, on a device that stays the same one, undone when it fails half way. */
import { wipe } from '../../shared/bytes.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { Undo } from '../../shared/undo.ts';
import { holdDevice, waitForDevice } from './find-device.ts';

export interface TurnsOptions {
  /** How long a drive that was just attached may take to show; default 15 s. */
  deviceTimeoutMs?: number;
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

  /** Waits for its turn. @throws VmcError 'busy' when too many wait; what `signal` was aborted with. */
  run<T>(driveId: string, { signal }: Stoppable, work: () => Promise<T>): Promise<T> {
    return this.#mutex.run(driveId, async () => {
      signal.throwIfAborted();
      return work();
    });
  }

  /** As `run`, with the drive's device, which stays the same one. The secrets are overwritten whatever happens. */
  async withDevice<T>(
    { driveId, secrets }: { driveId: string; secrets: readonly Uint8Array[] },
    stoppable: Stoppable,
    work: (device: string) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.run(driveId, stoppable, async () => {
        const device = await waitForDevice(driveId, this.#options.deviceTimeoutMs ?? 15_000);
        stoppable.signal.throwIfAborted();
        return holdDevice(driveId, device, () => work(device));
      });
    } finally {
      for (const secret of secrets) wipe(secret);
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
