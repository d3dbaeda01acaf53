/** ISO images that the host attached to this VM, as read-only disks: found by their serial, mounted and unmounted (requirement C14). */
import { mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { IsoStatus } from '../../shared/api/media.ts';
import { VmcError } from '../../shared/errors.ts';
import { printable, run } from '../../shared/run.ts';
import { RUN_FOLDER } from '../drives/drive-lock.ts';
import { before } from '../drives/fault-points.ts';
import { findDevice, listIsoIds } from '../drives/find-device.ts';
import { prepareMountPoint, removeMountPoint, unmount } from '../drives/mount.ts';
import { withMountTurn } from '../drives/mount-turn.ts';
import { type Mount, parseMountinfo } from '../drives/parse-mountinfo.ts';
import { signatureOf } from '../drives/signature.ts';
import type { DriveTurns, Stoppable } from '../drives/turns.ts';

const MOUNT_MS = 60_000;
/** How long something else may be just being mounted under the same name. */
const NAME_WAIT_MS = 5000;
const LABEL_LENGTH = 64;

export class Isos {
  readonly #mountRoot: string;
  readonly #turns: DriveTurns;

  /** @param mountRoot e.g. /mnt */
  constructor(mountRoot: string, turns: DriveTurns) {
    this.#mountRoot = mountRoot;
    this.#turns = turns;
  }

  async list(): Promise<IsoStatus[]> {
    const all: IsoStatus[] = [];
    for (const isoId of await listIsoIds()) {
      const status = await this.#status(isoId);
      if (status !== undefined) all.push(status);
    }
    return all;
  }

  /**
   * Programs on it may be run: that is what many are for. Devices and set-uid never work.
   * @throws VmcError 'not-found', 'wrong-state', 'already-exists', 'bad-data': nothing was changed then.
   */
  mount(
    { isoId, name }: { isoId: string; name: string },
    stoppable: Stoppable,
  ): Promise<{ mountPoint: string; readOnly: true }> {
    const mountPoint = join(this.#mountRoot, name);
    const answer = { mountPoint, readOnly: true as const };
    return this.#turns.withDevice({ driveId: isoId, secrets: [] }, stoppable, async (device) => {
      const mounts = await mountsOf(device);
      if (mounts.some((it) => it.mountPoint === mountPoint)) return answer;
      if (mounts.length > 0)
        throw new VmcError(
          'wrong-state',
          `The ISO image ${isoId} is mounted on ${mounts.map((it) => it.mountPoint).join(', ')}.`,
          'Unmount it first.',
        );
      const fileSystem = await fileSystemOf(isoId, device);
      const turn = { folder: RUN_FOLDER, waitMs: NAME_WAIT_MS, signal: stoppable.signal };
      await withMountTurn(mountPoint, turn, () =>
        this.#turns.undoing(async (undo) => {
          await mkdir(this.#mountRoot, { recursive: true, mode: 0o755 });
          if (await prepareMountPoint(mountPoint))
            undo.add('remove the mount point', () => removeMountPoint(mountPoint));
          await before('iso.mount:mount');
          const args = ['--types', fileSystem, '--options', 'ro,nodev,nosuid', '--', device, mountPoint];
          await run({ file: 'mount', args, timeoutMs: MOUNT_MS });
        }),
      );
      return answer;
    });
  }

  /** Unmounting what is not mounted, or not even attached, is fine. @throws VmcError 'busy' that names who holds it. */
  unmount(isoId: string, stoppable: Stoppable): Promise<void> {
    return this.#turns.run(isoId, stoppable, async () => {
      const device = await findDevice(isoId);
      if (device === undefined) return;
      const mounts = await mountsOf(device);
      const elsewhere = mounts.filter(({ mountPoint }) => dirname(mountPoint) !== this.#mountRoot);
      if (elsewhere.length > 0)
        throw new VmcError(
          'busy',
          `The ISO image ${isoId} is also mounted on ${elsewhere.map(({ mountPoint }) => mountPoint).join(', ')}.`,
          'Unmount that first.',
        );
      for (const { mountPoint } of mounts) {
        await before('iso.unmount:unmount');
        await unmount(mountPoint);
        await before('iso.unmount:remove-mount-point');
        await removeMountPoint(mountPoint);
      }
    });
  }

  /** Waits for nobody. @returns undefined when it was ejected meanwhile. */
  async #status(isoId: string): Promise<IsoStatus | undefined> {
    const device = await findDevice(isoId);
    if (device === undefined) return undefined;
    try {
      const sizeBytes = Number(await sysfs(device, 'size')) * 512; // always in 512-byte units
      const mountPoint = (await mountsOf(device))[0]?.mountPoint;
      const label = await labelOf(device);
      return {
        isoId,
        state: mountPoint === undefined ? 'attached' : 'mounted',
        ...(label === undefined ? {} : { label }),
        sizeBytes,
        ...(mountPoint === undefined ? {} : { mountPoint }),
      };
    } catch (error) {
      if ((await findDevice(isoId)) === undefined) return undefined;
      throw error;
    }
  }
}

async function fileSystemOf(isoId: string, device: string): Promise<'iso9660' | 'udf'> {
  const found = await signatureOf(device);
  if (found?.type === 'iso9660' || found?.type === 'udf') return found.type;
  throw new VmcError(
    'bad-data',
    `The ISO image ${isoId} holds ${found?.description ?? 'nothing that is known here'}, not ISO 9660 or UDF.`,
    'Is it the right file, and whole? Its SHA-256 says.',
  );
}

/** Its own words come from whoever made the image. One that cannot be read is listed all the same. */
async function labelOf(device: string): Promise<string | undefined> {
  const label = await signatureOf(device).then(
    (found) => found?.label,
    () => undefined,
  );
  return label === undefined ? undefined : printable(label).slice(0, LABEL_LENGTH);
}

async function mountsOf(device: string): Promise<Mount[]> {
  const number = await sysfs(device, 'dev');
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')).filter((it) => it.device === number);
}

const sysfs = async (device: string, name: string): Promise<string> =>
  (await readFile(`/sys/class/block/${basename(device)}/${name}`, 'utf8')).trim();
