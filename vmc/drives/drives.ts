/** Drives in this VM (requirement C7): what is there, and each thing that is done to one. One at a time for each drive. */
import { join } from 'node:path';
import { type DriveStatus, fileSystemSchema } from '../../shared/api/drive.ts';
import { publicError, VmcError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import type { Check, CheckRequest } from './check-file-system.ts';
import { unmountAndLock } from './close.ts';
import { DriveKeys } from './drive-keys.ts';
import { RUN_FOLDER } from './drive-lock.ts';
import { before } from './fault-points.ts';
import { findDevice, listDriveIds, waitUntilGone } from './find-device.ts';
import { format } from './format.ts';
import { freeze, requireThawed, thaw } from './freeze.ts';
import { listFrozen, readFrozen } from './frozen.ts';
import { giveToPeople } from './give-to-people.ts';
import { growFileSystem, growVolume } from './grow.ts';
import { markLeaving } from './leaving.ts';
import { checkKey, luksClose } from './luks.ts';
import { withMountTurn } from './mount-turn.ts';
import { type Observed, observe, statusOf } from './observe.ts';
import { mountUnlocked, unlock } from './open.ts';
import type { FormatRequest } from './plan-format.ts';
import { planOpen } from './plan-open.ts';
import { type DriveSettings, readSettings, writeSettings } from './settings.ts';
import { findTorn, listMappedIds, removeParts, requireWhole, tornStatus } from './torn.ts';
import { trim } from './trim.ts';
import { DriveTurns, type Stoppable, type TurnsOptions } from './turns.ts';
import { asSecret, type Secret } from './unlock.ts';

export interface DrivesOptions extends TurnsOptions {
  /** e.g. /mnt */
  mountRoot: string;
  /** Where vmc remembers what people chose for a drive. */
  stateDir: string;
  /** The group of the people who may use drives. */
  peopleGid: () => Promise<number>;
  /** Unix time in milliseconds. */
  clock: () => number;
  /** Told when a file system was not left in order. */
  onChecked?: (driveId: string, check: Check) => void;
}

export interface OpenRequest {
  driveId: string;
  /** Bytes alone are a key. */
  key: Uint8Array | Secret;
  /** Folder under the mount root. */
  name: string;
  readOnly: boolean;
  repair?: CheckRequest['repair'];
}

type Context = Pick<CallContext, 'progress' | 'signal'>;

/** How long something else may be just being mounted under the same name. */
const NAME_WAIT_MS = 5000;

/** Of one drive of `trimAll`. */
export interface Trimmed {
  driveId: string;
  trimmedBytes?: number;
  error?: unknown;
}

export class Drives {
  readonly #options: DrivesOptions;
  readonly #turns: DriveTurns;
  readonly #runFolder: string;
  /** Keys and headers of the same drives. */
  readonly keys: DriveKeys;

  /** @param turns shared with whatever else works on drives. */
  constructor(options: DrivesOptions, turns = new DriveTurns(options)) {
    this.#options = options;
    this.#turns = turns;
    this.#runFolder = options.runFolder ?? RUN_FOLDER;
    this.keys = new DriveKeys({ turns, clock: options.clock });
  }

  /** One that cannot be looked at, as its disk fails, does not hide the others. */
  async list(): Promise<DriveStatus[]> {
    const all: DriveStatus[] = [];
    for (const driveId of [...new Set([...(await listDriveIds()), ...(await listMappedIds())])].sort())
      all.push(await this.status(driveId).catch((error: unknown) => notSeen(driveId, error)));
    return all;
  }

  /** Waits for nobody: a drive that is being formatted shows as it is at this moment. */
  async status(driveId: string): Promise<DriveStatus> {
    const torn = await findTorn(driveId);
    if (torn !== undefined) return tornStatus(torn);
    const device = await findDevice(driveId);
    if (device === undefined) return statusOf({ driveId });
    try {
      return await this.#describe(await observe(driveId, device));
    } catch (error) {
      if ((await findDevice(driveId)) === undefined) return statusOf({ driveId }); // detached meanwhile
      throw error;
    }
  }

  async #describe(found: Observed): Promise<DriveStatus> {
    const { driveId } = found;
    const status = await statusOf(found);
    const { weeklyTrim } = await readSettings(this.#options.stateDir, driveId);
    const frozen = await readFrozen(this.#runFolder, driveId);
    const isFrozen = frozen !== undefined && frozen.until > this.#options.clock();
    return { ...status, weeklyTrim, ...(isFrozen ? { frozenUntil: frozen.until } : {}) };
  }

  /** @throws VmcError 'not-found', 'busy', 'not-blank', 'no-space': nothing was changed then. */
  format(request: FormatRequest & { key: Uint8Array }, context: Context): Promise<DriveStatus> {
    const { driveId, key } = request;
    return this.#turns.withDevice({ driveId, secrets: [key] }, context, async (device, lock) => {
      await this.#turns.undoing((undo) => format({ request, device, lock, ...context }, undo));
      return this.#describe(await observe(driveId, device));
    });
  }

  /** @throws VmcError 'not-found', 'wrong-key', 'wrong-state', 'already-exists', 'bad-data': it is as open as it was before. */
  open({ driveId, key, name, readOnly, repair = 'none' }: OpenRequest, context: Context): Promise<DriveStatus> {
    const { mountRoot, peopleGid, onChecked } = this.#options;
    const mountPoint = join(mountRoot, name);
    return this.#turns.withDevice({ driveId, secrets: [asSecret(key).bytes] }, context, async (device, lock) => {
      if (readOnly && repair !== 'none')
        throw new VmcError('bad-request', 'To repair is to write: a drive is not repaired read-only.');
      const found = await observe(driveId, device);
      const plan = planOpen(found, { driveId, mountPoint, readOnly, repair: repair !== 'none' });
      if (plan !== 'open') await checkKey(driveId, device, key);
      if (plan === 'already') {
        if (!readOnly) await giveToPeople(mountPoint, peopleGid); // a crash may have come before
        return this.status(driveId);
      }
      if (plan === 'reopen') {
        await before('drive.open:luks-close');
        await luksClose(driveId);
      }
      const work = { found, key, mountPoint, readOnly, repair, peopleGid, lock, ...context };
      const turn = { folder: this.#runFolder, waitMs: NAME_WAIT_MS, signal: context.signal };
      const check = await this.#turns.undoing(async (undo) => {
        const unlocked = unlock(work, undo); // while it waits for its turn to mount
        const settled = Promise.allSettled([unlocked]);
        try {
          return await withMountTurn(mountPoint, turn, async () => {
            await unlocked;
            return this.#turns.undoing((undoMount) => mountUnlocked(work, undoMount));
          });
        } finally {
          await settled; // what is still being done cannot be undone
        }
      });
      if (check !== undefined) onChecked?.(driveId, check);
      return { ...(await this.#describe(await observe(driveId, device))), ...(check === undefined ? {} : { check }) };
    });
  }

  /**
   * Closing a drive that is closed already is fine, and one whose disk was taken away.
   * @param leaving it is detached next: nobody opens it until then.
   * @throws VmcError 'busy' that names who holds it.
   */
  close(driveId: string, { signal }: Stoppable, leaving = false): Promise<DriveStatus> {
    const { mountRoot, clock } = this.#options;
    return this.#turns.run(driveId, { signal }, async ({ torn, device }) => {
      if (torn === undefined && device === undefined) return statusOf({ driveId });
      await requireThawed(this.#runFolder, driveId, clock);
      const found = torn === undefined && device !== undefined ? await observe(driveId, device) : undefined;
      const open = torn ?? found;
      if (open !== undefined) await unmountAndLock(open, mountRoot);
      if (torn !== undefined) await removeParts(driveId);
      if (leaving && device !== undefined) await markLeaving(this.#runFolder, driveId, device);
      return found === undefined ? this.status(driveId) : this.#describe({ ...found, mounts: [], holders: [] });
    });
  }

  /** @throws VmcError 'wrong-key', 'wrong-state' unless it is mounted read-write; 'busy' while it is frozen. */
  grow({ driveId, key }: { driveId: string; key: Uint8Array }, context: Context): Promise<DriveStatus> {
    return this.#turns.withDevice({ driveId, secrets: [key] }, context, async (device, lock) => {
      const mounted = await this.#mounted(driveId);
      context.progress({ step: 'growing the volume', done: 0, total: 2, unit: 'items' });
      await growVolume(driveId, device, mounted, key);
      context.progress({ step: 'growing the file system', done: 1, total: 2, unit: 'items' });
      await growFileSystem(driveId, device, mounted, lock);
      return this.status(driveId);
    });
  }

  /** @returns the bytes that fstrim reports. @throws VmcError 'wrong-state' unless it is mounted read-write; 'busy' while it is frozen. */
  trim(driveId: string, context: Context): Promise<number> {
    return this.#turns.run(driveId, context, async () => trim(await this.#mounted(driveId), context));
  }

  /** Every drive that is mounted read-write, unless people have switched that off; one that fails does not stop the others. */
  async trimAll(context: Context): Promise<Trimmed[]> {
    const done: Trimmed[] = [];
    for (const { driveId, state, readOnly, weeklyTrim, problem } of await this.list()) {
      if (problem !== undefined) {
        done.push({ driveId, error: new VmcError('command-failed', problem) });
        continue;
      }
      if (state !== 'mounted' || readOnly === true || weeklyTrim !== true) continue;
      try {
        done.push({ driveId, trimmedBytes: await this.trim(driveId, context) });
      } catch (error) {
        context.signal.throwIfAborted();
        done.push({ driveId, error });
      }
    }
    return done;
  }

  /** @throws VmcError 'not-found' unless it is attached. */
  configure(driveId: string, settings: DriveSettings, context: Stoppable): Promise<DriveStatus> {
    return this.#turns.withDevice({ driveId, secrets: [] }, context, async () => {
      await writeSettings(this.#options.stateDir, driveId, settings);
      return this.status(driveId);
    });
  }

  /** @returns until when, in Unix milliseconds, at most. @throws VmcError 'busy' when it is frozen; 'wrong-state' unless it is mounted read-write. */
  freeze(driveId: string, seconds: number, { signal }: Stoppable): Promise<number> {
    const { stateDir, clock } = this.#options;
    return this.#turns.run(driveId, { signal }, async () => {
      const { mountPoint } = await this.#mounted(driveId);
      return freeze({ driveId, mountPoint, seconds, stateDir, runFolder: this.#runFolder, clock, signal });
    });
  }

  /** @returns whether it was frozen until now. */
  thaw(driveId: string, context: Stoppable): Promise<boolean> {
    return this.#turns.run(driveId, context, () => thaw(this.#runFolder, driveId));
  }

  /** What a vmc that was killed has left frozen. */
  async thawAll(context: Stoppable): Promise<void> {
    for (const driveId of await listFrozen(this.#runFolder)) await this.thaw(driveId, context);
  }

  /** @returns whether its device has gone. */
  waitGone(driveId: string, seconds: number, { signal }: Stoppable): Promise<boolean> {
    return waitUntilGone(driveId, seconds * 1000, signal);
  }

  async #mounted(driveId: string) {
    await requireThawed(this.#runFolder, driveId, this.#options.clock);
    await requireWhole(driveId);
    const { state, mountPoint, readOnly, fileSystem } = await this.status(driveId);
    if (state !== 'mounted' || mountPoint === undefined)
      throw new VmcError('wrong-state', `The drive ${driveId} is not mounted.`, 'Open it first: connect drive open');
    if (readOnly === true) throw new VmcError('wrong-state', `The drive ${driveId} is read-only here.`);
    const known = fileSystemSchema.safeParse(fileSystem);
    if (!known.success) throw new VmcError('wrong-state', `The drive ${driveId} was mounted by hand: ${fileSystem}.`);
    return { mountPoint, fileSystem: known.data };
  }
}

function notSeen(driveId: string, error: unknown): DriveStatus {
  const errno = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  const problem =
    error instanceof VmcError || errno === undefined ? publicError(error).message : `Its disk cannot be read: ${errno}`;
  return { driveId, state: 'foreign', problem: printable(problem).slice(0, 600) };
}
