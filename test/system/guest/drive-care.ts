/** How drives live in a real VM: each file system, those of other hands, damage, growth, a freeze that nobody ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { DriveStatus } from '../../../shared/api/drive.ts';
import { VmcError } from '../../../shared/errors.ts';
import { findDevice } from '../../../vmc/drives/find-device.ts';
import { parseMountinfo } from '../../../vmc/drives/parse-mountinfo.ts';
import { byHand, doWork, makeDrives, type Work } from './drive-work.ts';
import { runApart, serve } from './serve.ts';

/** In this order: each finds what the one before has left. */
interface Request {
  driveId: string;
  key: string;
  work?: Work;
  scene: keyof ReturnType<typeof scenes>;
}

const drives = makeDrives();

function scenes({ driveId, key }: Request, device: string) {
  const folder = `/mnt/${driveId}`;
  const mapping = `/dev/mapper/vmc-${driveId}`;
  const secret = { input: Buffer.from(key, 'base64') };
  const act = (what: Work['do'], more: Partial<Work> = {}) =>
    doWork(drives, { do: what, driveId, key, ...more }) as Promise<DriveStatus>;
  const codeOf = async (work: Promise<unknown>) => {
    try {
      await work;
      return { code: 'none', message: '' };
    } catch (error) {
      if (error instanceof VmcError) return { code: error.code, message: error.message, hint: error.hint };
      throw error;
    }
  };
  const openByHand = () =>
    byHand(['cryptsetup', 'open', '--allow-discards', '--key-file', '-', device, `vmc-${driveId}`], secret);
  const closeByHand = () => byHand(['cryptsetup', 'close', `vmc-${driveId}`]);
  const put = () => writeFileSync(`${folder}/kept`, 'kept', { flush: true });
  const kept = () => readFileSync(`${folder}/kept`, 'utf8');

  return {
    /** format, open, trim, close, open read-only: of each kind. */
    async kinds() {
      const seen: Record<string, object> = {};
      for (const fileSystem of ['btrfs', 'ext4', 'xfs'] as const) {
        await act('format', { fileSystem, overwrite: driveId });
        await act('open');
        put();
        const trimmed = (await act('trim')) as unknown as number;
        await act('close');
        const status = await act('open', { readOnly: true });
        const mount = readFileSync('/proc/self/mountinfo', 'utf8')
          .split('\n')
          .find((line) => line.includes(` ${folder} `));
        const written = byHand(['touch', `${folder}/new`], { codes: [1] });
        seen[fileSystem] = { kept: kept(), trimmed, readOnly: status.readOnly, mount, written };
        await act('close');
      }
      return seen;
    },

    /** An xfs whose log was not played, as after a power cut. */
    async dirtyXfs() {
      await act('open');
      put();
      byHand(['xfs_io', '-x', '-c', 'shutdown -f', folder]);
      await act('close');
      const { check } = await act('open');
      const found = { check, kept: kept() };
      await act('close');
      const again = (await act('open')).check;
      await act('close');
      return { ...found, again: again ?? null };
    },

    /** An ext4 that says it is not in order, and one that is not. */
    async damagedExt4() {
      await act('format', { fileSystem: 'ext4', overwrite: driveId });
      await act('open');
      put();
      await act('close');
      const damage = (...commands: string[]) => {
        openByHand();
        for (const command of commands) byHand(['debugfs', '-w', '-R', command, mapping]);
        closeByHand();
      };
      damage('set_super_value state 2');
      const { check: little } = await act('open');
      const keptThen = kept();
      await act('close');
      damage('clri <2>', 'set_super_value state 2');
      const refused = await codeOf(act('open'));
      const shut = (await drives.status(driveId)).state;
      const readOnlyRepair = await codeOf(act('open', { readOnly: true, repair: 'full' }));
      const { check: full, state } = await act('open', { repair: 'full' });
      await act('close');
      return { little, keptThen, refused, shut, readOnlyRepair, full, state };
    },

    /** Room that was added: as if the volume had been made on a smaller disk. Twice, and with a key that does not fit. */
    async growth() {
      const sizes: Record<string, object> = {};
      for (const fileSystem of ['xfs', 'btrfs'] as const) {
        openByHand();
        byHand(['cryptsetup', 'resize', '--key-file', '-', '--size', String(310 * 2048), `vmc-${driveId}`], secret);
        const force = fileSystem === 'xfs' ? '-f' : '--force';
        byHand([`mkfs.${fileSystem}`, '-q', force, mapping]);
        byHand(['mkdir', '-p', folder]);
        byHand(['mount', mapping, folder]);
        put();
        const before = (await drives.status(driveId)).freeBytes ?? 0;
        const wrong = await codeOf(act('grow', { key: Buffer.alloc(32, 1).toString('base64') }));
        const after = (await act('grow')).freeBytes ?? 0;
        const again = (await act('grow')).freeBytes ?? 0;
        const trimmed = (await act('trim')) as unknown as number; // what the volume was opened with stays
        sizes[fileSystem] = { wrong: wrong.code, grown: after - before, again: again - after, kept: kept(), trimmed };
        await act('close');
      }
      return { ...sizes, closed: await codeOf(act('grow')) };
    },

    /** A drive made by plain cryptsetup and mkfs opens here, and ours opens by hand. */
    async otherHands() {
      const opened: string[] = [];
      const ours = [
        '--pbkdf',
        'pbkdf2',
        '--pbkdf-force-iterations',
        '1000',
        '--cipher',
        'aes-xts-plain64',
        '--key-size',
        '512',
      ];
      for (const [options, mkfs] of [
        [
          [...ours, '--sector-size', '4096'],
          ['mkfs.ext4', '-q'],
        ],
        [
          ['--pbkdf-memory', '65536', '--iter-time', '200'],
          ['mkfs.xfs', '-q', '-f'],
        ], // cryptsetup's own choice: argon2id
        [
          [...ours, '--sector-size', '512'],
          ['mkfs.btrfs', '-q', '--force'],
        ],
      ] as const) {
        byHand(['wipefs', '--all', device]);
        byHand(['cryptsetup', 'luksFormat', '--batch-mode', ...options, '--key-file', '-', device], secret);
        openByHand();
        byHand([...mkfs, mapping]);
        closeByHand();
        const { fileSystem = '', state } = await act('open');
        put();
        await act('close');
        opened.push(`${fileSystem} ${state}`);
      }
      await act('format', { overwrite: driveId });
      await act('open');
      put();
      await act('close');
      openByHand();
      byHand(['mount', mapping, '/media']);
      const byHandRead = readFileSync('/media/kept', 'utf8');
      byHand(['umount', '/media']);
      closeByHand();
      return { opened, byHandRead };
    },

    /** Who keeps a drive from being closed is named: in it, and in a mount namespace of their own. */
    async held() {
      await act('open');
      const inside = spawn('sleep', ['300'], { cwd: folder, stdio: 'ignore' });
      await once(inside, 'spawn');
      const busy = await codeOf(act('close'));
      await ended(inside);
      const apart = spawn(
        'unshare',
        ['--mount', '--propagation', 'private', 'sh', '-c', 'echo ready; exec sleep 300'],
        {
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
      await once(apart.stdout, 'data');
      const elsewhere = await codeOf(act('close'));
      const state = (await drives.status(driveId)).state;
      await ended(apart);
      const closed = (await act('close')).state;
      return { busy, inside: inside.pid, elsewhere, apart: apart.pid, state, closed };
    },

    /** vmc is killed right after it froze, and nothing of it ever runs again: who waits to write goes on. */
    async frozenForEver() {
      await act('open');
      const { crashed } = await runApart(
        { driveId, key, scene: 'work', work: { do: 'freeze', driveId, key, seconds: 8 } },
        'drive.freeze:answer',
      );
      const { frozenUntil = 0 } = await drives.status(driveId);
      const isFrozen = Date.now() < frozenUntil;
      const busy = [await codeOf(act('freeze')), await codeOf(act('close')), await codeOf(act('trim'))];
      byHand(['touch', `${folder}/late`]);
      const waited = Date.now() >= frozenUntil;
      const { wasFrozen } = { wasFrozen: await act('thaw') };
      const left = byHand(['systemctl', 'list-units', '--all', '--plain', '--no-legend', 'vmc-thaw-*']);
      const mounted = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')).some(
        (it) => it.mountPoint === folder,
      );
      await act('close');
      return { crashed, isFrozen, busy: busy.map(({ code }) => code), waited, wasFrozen, left, mounted };
    },

    /** One thing alone, for a process of its own. */
    work: async () => {
      throw new VmcError('internal', 'what?');
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

await serve(async (request: Request) => {
  if (request.work !== undefined) return doWork(drives, request.work);
  const device = (await findDevice(request.driveId)) ?? '';
  return scenes(request, device)[request.scene]();
});
