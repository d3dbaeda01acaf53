/**
 * Keys, headers and re-encryption of a drive in a real VM: while somebody writes, stopped, and killed at each step. The drive
 * is mounted at /mnt/<its id>.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { DriveUnlock } from '../../../shared/api/drive-keys.ts';
import { VmcError } from '../../../shared/errors.ts';
import type { FaultPoint } from '../../../vmc/drives/fault-points.ts';
import { findDevice } from '../../../vmc/drives/find-device.ts';
import { checkHeader } from '../../../vmc/drives/header-copy.ts';
import { mirroredHeader } from '../../../vmc/drives/header-mirror.ts';
import { reencrypt as reencryptDevice } from '../../../vmc/drives/reencrypt.ts';
import { byHand, context, doWork, makeDrives, type Work } from './drive-work.ts';
import { goOnWriting, lookAtPieces, type Pieces, type PiecesSeen, writeAll } from './drive-writer.ts';
import { runApart, serve } from './serve.ts';

const MIB = 1024 * 1024;
const POLL_MS = 20;
/** Of 1 MiB each. */
const FILES = 4;
const PIECES = 1024;
/** On the VM's own disk. */
const NOTES = '/var/lib/vmc-guest';
const HEADER_COPY = '/run/vmc-guest/header.gz';

export interface Request {
  do: keyof ReturnType<typeof scenes>;
  driveId: string;
  /** Base64. */
  key: string;
  /** Of another slot. */
  add?: string;
  slot?: number;
}

export interface Survived {
  point: FaultPoint;
  /** What a crash there left. */
  left: string;
}

export interface Whole {
  pieces: PiecesSeen;
  wrongFiles: number[];
  fsck: string;
}

const drives = makeDrives();

function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new VmcError('internal', what);
}

/** What a file holds follows from its number. */
function contentOf(number: number): Buffer {
  const key = createHash('sha256').update(`file ${number}`).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(MIB));
}

function scenes(request: Request) {
  const { driveId, key, add = key, slot = 0 } = request;
  const folder = `/mnt/${driveId}`;
  const mapping = `/dev/mapper/vmc-${driveId}`;
  const written: Pieces = { file: `${folder}/pieces`, notes: `${NOTES}/${driveId}`, count: PIECES };
  const bytesOf = (base64: string) => Buffer.from(base64, 'base64'); // what vmc is given it overwrites
  const unlock = (): DriveUnlock => ({ key: bytesOf(key) });
  const act = (what: Work['do'], more: Partial<Work> = {}) => doWork(drives, { do: what, driveId, key, ...more });
  const deviceOf = async () => (await findDevice(driveId)) ?? '';

  const startWriter = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [process.argv[1] ?? ''], { stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin?.end(JSON.stringify({ ...request, do: 'write' }));
    await once(child, 'spawn');
    return child;
  };

  const reencrypt = (signal = context.signal) =>
    drives.keys.reencrypt(driveId, bytesOf(key), { signal, progress: () => {} });

  /** In the header that cryptsetup writes. */
  const movedBytes = async () =>
    (await checkHeader(driveId, mirroredHeader(driveId)).catch(() => undefined))?.reencryption?.doneBytes ?? 0;

  /** @returns how it ends, when `act` is done as soon as data have moved. */
  const reencryptUntil = async (act: () => void, signal?: AbortSignal): Promise<string> => {
    let end: string | undefined;
    const work = reencrypt(signal).then(
      (state) => {
        end = state;
      },
      ({ message }: Error) => {
        end = message;
      },
    );
    while (end === undefined && (await movedBytes()) === 0) await delay(POLL_MS);
    if (end === undefined) act();
    await work;
    return end ?? '';
  };

  const signalUnit = (signal: string) =>
    byHand(['systemctl', 'kill', '--signal', signal, `vmc-reencrypt-${driveId}.service`]);

  /** Of the volume keys. */
  const digestsIn = async (header: string) =>
    JSON.stringify(((await checkHeader(driveId, header)).json as { digests: unknown }).digests);

  const all = {
    /** Never ends by itself. */
    write: async () => goOnWriting(written),

    async make() {
      mkdirSync(NOTES, { recursive: true });
      rmSync(written.notes, { force: true });
      await act('format', { overwrite: driveId });
      await act('open');
      for (let i = 0; i < FILES; i += 1) writeFileSync(`${folder}/file-${i}`, contentOf(i), { flush: true });
      writeAll(written);
      byHand(['sync', '--file-system', folder]);
    },

    /** While somebody writes: stopped before it began, stopped amid, vmc killed while data move; a new one takes over. */
    async interrupted() {
      const writer = await startWriter();
      try {
        const device = await deviceOf();
        const early = { driveId, device, key: bytesOf(key), signal: AbortSignal.abort(), progress: () => {} };
        const notBegun = [await reencryptDevice(early), (await drives.status(driveId)).reencryption ?? null];
        const stop = new AbortController();
        const stopped = await reencryptUntil(() => stop.abort(), stop.signal);
        const { doneBytes = 0 } = (await drives.status(driveId)).reencryption ?? {};

        const vmc = spawn(process.execPath, [process.argv[1] ?? ''], { stdio: ['pipe', 'ignore', 'inherit'] });
        vmc.stdin?.end(JSON.stringify({ ...request, do: 'finish' }));
        while ((await movedBytes()) <= doneBytes && vmc.exitCode === null) await delay(POLL_MS);
        signalUnit('SIGSTOP'); // so that it is not done yet
        await ended(vmc);
        const close = await act('close').then(
          () => 'closed',
          ({ code }: VmcError) => code,
        );
        const again = await reencrypt();
        expect(writer.exitCode === null, 'somebody wrote all the time');
        const table = byHand(['dmsetup', 'table', `vmc-${driveId}`]);
        return { notBegun, stopped, doneBytes, killed: vmc.signalCode, close, again, table };
      } finally {
        await ended(writer);
      }
    },

    finish: () => reencrypt(),

    /** Opens it, looks at every byte, closes it, and has e2fsck look. */
    async look(): Promise<Whole> {
      await act('close');
      await act('open');
      const seen = lookAtPieces(written);
      const wrongFiles = Array.from({ length: FILES }, (_, i) => i).filter(
        (i) => !readFileSync(`${folder}/file-${i}`).equals(contentOf(i)),
      );
      byHand(['umount', folder]);
      const fsck = byHand(['e2fsck', '-fn', mapping]);
      await act('close');
      return { pieces: seen, wrongFiles, fsck };
    },

    async right() {
      const { pieces, wrongFiles } = await all.look();
      expect(pieces.wrong.length + pieces.lost.length + wrongFiles.length === 0, JSON.stringify([pieces, wrongFiles]));
    },

    status: () => drives.status(driveId),
    addKey: () => drives.keys.add(driveId, { unlock: unlock(), add: { key: bytesOf(add) } }, context),
    removeKey: () => drives.keys.remove(driveId, { unlock: unlock(), slot }, context),

    backUp: async () => writeFileSync(HEADER_COPY, await drives.keys.backupHeader(driveId, context)),
    restore: () =>
      drives.keys.restoreHeader(
        { driveId, key: bytesOf(key), confirm: driveId },
        () => readFileSync(HEADER_COPY),
        context,
      ),
    /** All of its header is gone, as by a slip of the hand on the host. */
    async damage() {
      await act('close');
      byHand(['dd', 'if=/dev/zero', `of=${await deviceOf()}`, 'bs=1M', 'count=16', 'oflag=direct', 'status=none']);
    },

    /**
     * Ends vmc at each of these points, on a drive that is closed. The same is then asked again: it comes to the next
     * point, or to its end.
     */
    async walk(): Promise<Survived[]> {
      const survived: Survived[] = [];
      const crash = async (work: Partial<Request> & Pick<Request, 'do'>, point: FaultPoint) => {
        const it = await runApart({ ...request, ...work }, point);
        expect(it.crashed, `${point}: it came there, and not to ${JSON.stringify(it)}`);
        const { state, reencryption } = await drives.status(driveId);
        survived.push({
          point,
          left: reencryption === undefined ? state : `${state}, ${reencryption.doneBytes} bytes`,
        });
      };
      const slots = async () => (await drives.keys.list(driveId, context)).length;
      await crash({ do: 'addKey' }, 'drive.keyAdd:write');
      expect((await slots()) === 1, 'no key came in');
      const added = await all.addKey();
      expect((await slots()) === 2 && (await all.addKey()) === added, 'one more key, however often it is added');
      await crash({ do: 'removeKey', slot: added }, 'drive.keyRemove:write');
      expect((await slots()) === 2, 'no key went');
      await scenes({ ...request, slot: added }).removeKey();
      expect((await slots()) === 1, 'one key');

      await all.backUp();
      await all.damage();
      await crash({ do: 'restore' }, 'drive.headerRestore:write');
      await all.restore();
      await all.right();

      for (const step of ['open', 'begin', 'write', 'mirror'] as const)
        await crash({ do: 'finish' }, `drive.reencrypt:${step}`);
      const killed = await reencryptUntil(() => signalUnit('SIGKILL'));
      expect(/cryptsetup was killed/.test(killed), `cryptsetup is killed: ${killed}`);
      await all.right();
      await crash({ do: 'finish' }, 'drive.reencrypt:move');
      for (const step of ['close', 'settle'] as const) {
        await crash({ do: 'finish' }, `drive.reencrypt:${step}`);
        const digests = await digestsIn(mirroredHeader(driveId));
        expect((await all.finish()) === 'done', `${step}: done`);
        expect((await digestsIn(await deviceOf())) === digests, `${step}: it was not begun again`);
      }
      await all.right();
      return survived;
    },

    /** @returns what is said to a header that does not belong to these data: from before they were re-encrypted, or of another drive. */
    async restoreOther() {
      const before = (await drives.status(driveId)).state;
      return all.restore().then(
        () => 'restored',
        ({ code }: VmcError) => `${code}, ${before}`,
      );
    },
  };
  return all;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

await serve((request: Request): Promise<unknown> => scenes(request)[request.do]());
