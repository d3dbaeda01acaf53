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
import { byHand, context, doWork, makeDrives, type Work } from './drive-work.ts';
import { goOnWriting, lookAtPieces, type Pieces, type PiecesSeen, writeAll } from './drive-writer.ts';
import { runApart, serve } from './serve.ts';

const MIB = 1024 * 1024;
/** On the VM's own disk. */
const NOTES = '/var/lib/vmc-guest';
const HEADER_COPY = '/run/vmc-guest/header.gz';

/** A key in base64, or a passphrase. */
type Words = { key: string } | { passphrase: string };

export interface Request {
  do: keyof ReturnType<typeof scenes>;
  driveId: string;
  /** Base64. */
  key: string;
  /** The drive whose copy this is. */
  origin?: string;
  /** Of 1 MiB each. */
  files?: number;
  /** Of 4 KiB each. */
  pieces?: number;
  /** How many of the notes count. */
  notes?: number;
  /** Each re-encryption is stopped when so many bytes are done; the last one goes to its end. */
  stops?: number[];
  /** Default: the key. */
  unlock?: Words;
  add?: Words;
  slot?: number;
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
  const { driveId, key, origin = driveId, files = 4, pieces = 1024, notes, stops = [], slot = 0 } = request;
  const folder = `/mnt/${driveId}`;
  const mapping = `/dev/mapper/vmc-${driveId}`;
  const written: Pieces = { file: `${folder}/pieces`, notes: `${NOTES}/${origin}`, count: pieces };
  const keyBytes = () => Buffer.from(key, 'base64'); // what vmc is given it overwrites
  const unlockOf = (words: Words = { key }): DriveUnlock =>
    'key' in words ? { key: Buffer.from(words.key, 'base64') } : words;
  const act = (what: Work['do'], more: Partial<Work> = {}) => doWork(drives, { do: what, driveId, key, ...more });
  const deviceOf = async () => (await findDevice(driveId)) ?? '';
  const apart = (what: Request['do'], point?: FaultPoint) => runApart({ ...request, do: what }, point);

  const startWriter = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [process.argv[1] ?? ''], { stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin?.end(JSON.stringify({ ...request, do: 'write' }));
    await once(child, 'spawn');
    return child;
  };

  /** @param stopBytes it is stopped when so much is done. */
  const reencrypt = async (stopBytes = Number.POSITIVE_INFINITY) => {
    const stop = new AbortController();
    let done = 0;
    const progress = (it: { done?: number | undefined }) => {
      done = it.done ?? 0;
      if (done >= stopBytes) stop.abort();
    };
    return { state: await drives.keys.reencrypt(driveId, keyBytes(), { signal: stop.signal, progress }), done };
  };

  const all = {
    /** Never ends by itself. */
    write: async () => goOnWriting(written),

    async make() {
      mkdirSync(NOTES, { recursive: true });
      rmSync(written.notes, { force: true });
      await act('format', { overwrite: driveId });
      await act('open');
      for (let i = 0; i < files; i += 1) writeFileSync(`${folder}/file-${i}`, contentOf(i), { flush: true });
      writeAll(written);
      byHand(['sync', '--file-system', folder]);
    },

    /** Stopped, and gone on with, while somebody writes; then to its end. */
    async stopAndGoOn() {
      await act('open');
      const writer = await startWriter();
      try {
        const states: string[] = [];
        for (const stop of [...stops, undefined]) states.push((await reencrypt(stop)).state);
        expect(writer.exitCode === null, 'somebody wrote all the time');
        return { states, table: byHand(['dmsetup', 'table', `vmc-${driveId}`]) };
      } finally {
        await ended(writer);
      }
    },

    /** vmc is killed while data move, and somebody writes; a new one takes over. */
    async killAndGoOn() {
      await act('open');
      const writer = await startWriter();
      try {
        const vmc = spawn(process.execPath, [process.argv[1] ?? ''], { stdio: ['pipe', 'ignore', 'inherit'] });
        vmc.stdin?.end(JSON.stringify({ ...request, do: 'finish' }));
        const moved = async () =>
          (await checkHeader(driveId, mirroredHeader(driveId)).catch(() => undefined))?.reencryption?.doneBytes ?? 0;
        while ((await moved()) === 0 && vmc.exitCode === null) await delay(100);
        await ended(vmc);
        const busy = await act('close').then(
          () => 'closed',
          ({ code }: VmcError) => code,
        );
        return { killed: vmc.signalCode, busy, again: (await reencrypt()).state };
      } finally {
        await ended(writer);
      }
    },

    finish: () => reencrypt(),

    countNotes: async () => readFileSync(written.notes, 'utf8').split('\n').length - 1,

    async segments() {
      const json = byHand(['cryptsetup', 'luksDump', '--dump-json-metadata', await deviceOf()]);
      const { segments } = JSON.parse(json) as { segments: Record<string, { flags?: string[]; size: string }> };
      return Object.values(segments).map(({ size, flags = [] }) => `${size} ${flags.join()}`.trim());
    },

    /** Opens it, looks at every byte, closes it, and has e2fsck look. */
    async look(): Promise<Whole> {
      await act('close');
      await act('open');
      const seen = lookAtPieces(written, notes);
      const wrongFiles = Array.from({ length: files }, (_, i) => i).filter(
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

    open: () => act('open'),
    close: () => act('close'),
    status: () => drives.status(driveId),
    list: () => drives.keys.list(driveId, context),
    addKey: () => drives.keys.add(driveId, { unlock: unlockOf(request.unlock), add: unlockOf(request.add) }, context),
    removeKey: () => drives.keys.remove(driveId, { unlock: unlockOf(request.unlock), slot }, context),

    backUp: async () => writeFileSync(HEADER_COPY, await drives.keys.backupHeader(driveId, context)),
    restore: () =>
      drives.keys.restoreHeader(
        { driveId, key: keyBytes(), confirm: driveId },
        () => readFileSync(HEADER_COPY),
        context,
      ),
    /** All of its header is gone, as by a slip of the hand on the host. */
    async damage() {
      await act('close');
      byHand(['dd', 'if=/dev/zero', `of=${await deviceOf()}`, 'bs=1M', 'count=16', 'oflag=direct', 'status=none']);
    },

    /** Ends vmc at each of these points, on a drive that is closed; the same asked again makes it right. */
    async walk(): Promise<{ point: FaultPoint; left: string }[]> {
      const survived: { point: FaultPoint; left: string }[] = [];
      const crash = async (what: Request['do'], point: FaultPoint) => {
        const it = await apart(what, point);
        expect(it.crashed, `${point}: it came there, and not to ${JSON.stringify(it)}`);
        const { state } = await drives.status(driveId);
        survived.push({ point, left: state });
      };
      const slots = async () => (await drives.keys.list(driveId, context)).length;
      await all.make();
      await act('close');
      await crash('addKey', 'drive.keyAdd:write');
      expect((await slots()) === 1, 'no key came in');
      const added = await all.addKey();
      expect((await slots()) === 2 && (await all.addKey()) === added, 'one more key, however often it is added');
      const remove = { ...request, slot: added };
      const removed = await runApart({ ...remove, do: 'removeKey' }, 'drive.keyRemove:write');
      expect(removed.crashed && (await slots()) === 2, `drive.keyRemove:write: ${JSON.stringify(removed)}`);
      survived.push({ point: 'drive.keyRemove:write', left: (await drives.status(driveId)).state });
      await scenes(remove).removeKey();
      expect((await slots()) === 1, 'one key');
      await all.backUp();
      await all.damage();
      await crash('restore', 'drive.headerRestore:write');
      await all.restore();
      await all.right();
      for (const step of ['open', 'begin', 'write', 'mirror', 'move', 'settle', 'close'] as const) {
        await crash('finish', `drive.reencrypt:${step}`);
        await all.right();
      }
      expect((await all.finish()).state === 'done', 'done');
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
