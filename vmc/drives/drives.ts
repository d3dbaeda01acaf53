/** Drives in this VM (requirement C7): what is there, format, open, close, trim. One at a time for each drive. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DriveStatus, fileSystemSchema } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { run } from '../../shared/run.ts';
import type { Undo } from '../../shared/undo.ts';
import { makeFileSystem, wipeSignatures, zeroHeader } from './file-system.ts';
import { findDevice, listDriveIds } from './find-device.ts';
import { giveToPeople } from './give-to-people.ts';
import { checkKey, luksClose, luksFormat, luksOpen } from './luks.ts';
import { mount, prepareMountPoint, removeMountPoint, unmount } from './mount.ts';
import { mappingName, mappingPath } from './names.ts';
import { type Observed, observe, statusOf } from './observe.ts';
import { parseTrimmedBytes } from './parse-tools.ts';
import { type FormatRequest, type FormatStep, planFormat } from './plan-format.ts';
import { planOpen } from './plan-open.ts';
import { signatureOf } from './signature.ts';
import { DriveTurns, type Stoppable, type TurnsOptions } from './turns.ts';

export interface DrivesOptions extends TurnsOptions {
  /** e.g. /mnt */
  mountRoot: string;
  /** The group of the people who may use drives. */
  peopleGid: () => Promise<number>;
}

const STEP_WORDS: Record<FormatStep['step'], string> = {
  'wipe-signatures': 'removing what was there',
  'luks-format': 'writing the LUKS header',
  'luks-open': 'unlocking',
  'make-file-system': 'making the file system',
  'luks-close': 'locking',
};

export class Drives {
  readonly #options: DrivesOptions;
  readonly #turns: DriveTurns;

  /** @param turns shared with whatever else works on drives. */
  constructor(options: DrivesOptions, turns = new DriveTurns(options)) {
    this.#options = options;
    this.#turns = turns;
  }

  async list(): Promise<DriveStatus[]> {
    const all: DriveStatus[] = [];
    for (const driveId of await listDriveIds()) all.push(await this.status(driveId));
    return all;
  }

  /** Waits for nobody: a drive that is being formatted shows as it is at this moment. */
  async status(driveId: string): Promise<DriveStatus> {
    const device = await findDevice(driveId);
    if (device === undefined) return statusOf({ driveId });
    try {
      return await statusOf(await observe(driveId, device));
    } catch (error) {
      if ((await findDevice(driveId)) === undefined) return statusOf({ driveId }); // detached meanwhile
      throw error;
    }
  }

  /** @throws VmcError 'not-found', 'busy', 'not-blank', 'no-space': nothing was changed then. */
  format(
    request: FormatRequest & { key: Uint8Array },
    context: Pick<CallContext, 'progress' | 'signal'>,
  ): Promise<DriveStatus> {
    return this.#turns.withDevice({ driveId: request.driveId, secrets: [request.key] }, context, async (device) => {
      const before = await observe(request.driveId, device);
      const steps = planFormat(before, request);
      await this.#turns.undoing(async (undo) => {
        for (const [done, step] of steps.entries()) {
          if (context.signal.aborted) throw new VmcError('cancelled', 'Formatting was cancelled.');
          context.progress({ step: STEP_WORDS[step.step], done, total: steps.length, unit: 'items' });
          await this.#formatStep(step, before, request.key, undo);
        }
      });
      return this.status(request.driveId);
    });
  }

  /** @throws VmcError 'not-found', 'wrong-key', 'wrong-state', 'already-exists': nothing was changed then. */
  open(
    request: { driveId: string; key: Uint8Array; name: string; readOnly: boolean },
    context: Stoppable,
  ): Promise<DriveStatus> {
    return this.#turns.withDevice({ driveId: request.driveId, secrets: [request.key] }, context, async (device) => {
      const { driveId, key, readOnly } = request;
      const mountPoint = join(this.#options.mountRoot, request.name);
      const plan = planOpen(await observe(driveId, device), { driveId, mountPoint, readOnly });
      if (plan !== 'open') await checkKey(driveId, device, key);
      if (plan === 'reopen') await luksClose(driveId);
      if (plan !== 'already')
        await this.#turns.undoing((undo) => this.#openAndMount({ driveId, device, key, mountPoint, readOnly }, undo));
      return this.status(driveId);
    });
  }

  /** Closing a drive that is closed already is fine. @throws VmcError 'busy' that names who holds it. */
  close(driveId: string, { signal }: Stoppable): Promise<DriveStatus> {
    return this.#turns.run(driveId, { signal }, async () => {
      const device = await findDevice(driveId);
      if (device === undefined) return statusOf({ driveId });
      const { mounts, holders } = await observe(driveId, device);
      const elsewhere = mounts.filter(({ mountPoint }) => dirname(mountPoint) !== this.#options.mountRoot);
      if (elsewhere.length > 0)
        throw new VmcError(
          'busy',
          `The drive ${driveId} is also mounted on ${elsewhere.map(({ mountPoint }) => mountPoint).join(', ')}.`,
          'Unmount that first.',
        );
      for (const { mountPoint } of mounts) {
        await unmount(mountPoint);
        await removeMountPoint(mountPoint);
      }
      if (holders.includes(mappingName(driveId))) await luksClose(driveId);
      return this.status(driveId);
    });
  }

  /** @returns the bytes that fstrim reports. @throws VmcError 'wrong-state' unless it is mounted read-write. */
  trim(driveId: string, { signal }: Stoppable): Promise<number> {
    return this.#turns.run(driveId, { signal }, async () => {
      const { state, mountPoint, readOnly } = await this.status(driveId);
      if (state !== 'mounted' || mountPoint === undefined)
        throw new VmcError('wrong-state', `The drive ${driveId} is not mounted.`, 'Open it first.');
      if (readOnly === true) throw new VmcError('wrong-state', `The drive ${driveId} is read-only here.`);
      // ext4 frees the blocks of a deleted file only when its journal commits: without this, fstrim leaves them out.
      await run({ file: 'sync', args: ['--file-system', mountPoint], timeoutMs: 10 * 60_000 });
      const { stdout } = await run({ file: 'fstrim', args: ['-v', mountPoint], timeoutMs: 60 * 60_000 });
      const trimmed = parseTrimmedBytes(stdout);
      if (trimmed === undefined) throw new VmcError('command-failed', 'fstrim did not say how much it trimmed.');
      return trimmed;
    });
  }

  async #formatStep(step: FormatStep, before: Observed, key: Uint8Array, undo: Undo): Promise<void> {
    const { device, driveId } = before;
    switch (step.step) {
      case 'wipe-signatures':
        return wipeSignatures(device);
      case 'luks-format':
        if (before.content === undefined) undo.add('empty the drive again', () => zeroHeader(device));
        return luksFormat(device, key);
      case 'luks-open':
        await luksOpen(driveId, device, key, { readOnly: false });
        undo.add('lock the drive', () => luksClose(driveId));
        return;
      case 'make-file-system':
        await makeFileSystem(mappingPath(driveId), step.fileSystem);
        undo.commit(); // the drive is whole now: only locking it is left
        undo.add('lock the drive', () => luksClose(driveId));
        return;
      case 'luks-close':
        return luksClose(driveId);
      default:
        return step satisfies never;
    }
  }

  async #openAndMount(
    it: { driveId: string; device: string; key: Uint8Array; mountPoint: string; readOnly: boolean },
    undo: Undo,
  ): Promise<void> {
    await mkdir(this.#options.mountRoot, { recursive: true, mode: 0o755 });
    if (await prepareMountPoint(it.mountPoint))
      undo.add('remove the mount point', () => removeMountPoint(it.mountPoint));
    await luksOpen(it.driveId, it.device, it.key, it);
    undo.add('lock the drive', () => luksClose(it.driveId));
    const fileSystem = fileSystemSchema.safeParse((await signatureOf(mappingPath(it.driveId)))?.type).data;
    if (fileSystem === undefined)
      throw new VmcError(
        'wrong-state',
        `The drive ${it.driveId} has no file system: formatting it was cut short.`,
        `Format it again: --overwrite ${it.driveId}`,
      );
    await mount(mappingPath(it.driveId), it.mountPoint, fileSystem, it.readOnly);
    if (it.readOnly) return;
    undo.add('unmount the drive', () => unmount(it.mountPoint));
    await giveToPeople(it.mountPoint, this.#options.peopleGid);
  }
}
