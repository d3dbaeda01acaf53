/**
 * Ends vmc, as kill -9 would, at every fault point of what it does to a drive; then does the same once more, and looks
 * whether all is right again. One drive for all of it.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { VmcError } from '../../../shared/errors.ts';
import { CARE_FAULT_POINTS } from '../../../vmc/drives/fault-points.ts';
import { findDevice } from '../../../vmc/drives/find-device.ts';
import { byHand, context, doWork, makeDrives, STATE_FOLDER, type Work } from './drive-work.ts';
import { runApart, serve } from './serve.ts';

type Point = (typeof CARE_FAULT_POINTS)[number];

export interface Survived {
  point: string;
  /** What a crash there left. */
  left: string;
}

type Request = { walk: { driveId: string; key: string; points?: Point[] } } | { work: Work };

const drives = makeDrives();

function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new VmcError('internal', what);
}

async function walk(driveId: string, key: string, points: readonly Point[]): Promise<Survived[]> {
  const device = (await findDevice(driveId)) ?? '';
  const kept = `/mnt/${driveId}/kept`;
  const act = (what: Work['do'], more: Partial<Work> = {}) => doWork(drives, { do: what, driveId, key, ...more });
  const state = async () => (await drives.status(driveId)).state;
  const isOpenAndWhole = () => {
    expect(readFileSync(kept, 'utf8') === 'kept', 'the file is as it was');
    writeFileSync(kept, 'kept');
  };
  const whole = async () => {
    if ((await state()) === 'blank') await act('format');
    await act('open');
    writeFileSync(kept, 'kept');
  };
  const shut = async () => {
    await act('close');
    expect((await state()) === 'locked', 'locked');
  };

  /** What must be so before, how it is asked for, and what must be so once it was asked for again. */
  const cases: Record<
    string,
    (point: Point) => { ready: () => Promise<void>; work: Work; right: () => Promise<void> }
  > = {
    'drive.format': (point) => {
      const overFormer = point === 'drive.format:wipe-signatures';
      return {
        ready: async () => {
          await act('close');
          byHand(['blkdiscard', '--zeroout', device]);
          if (overFormer) byHand(['mkfs.ext4', '-q', '-F', device]);
        },
        work: { do: 'format', driveId, key, ...(overFormer ? { overwrite: driveId } : {}) },
        right: async () => {
          const { state, unfinished } = await drives.status(driveId);
          expect(state === 'locked' && unfinished === undefined, `${state}, unfinished: ${unfinished}`);
          await whole();
          if (point !== 'drive.format:mark-whole') return;
          await shut();
          await doWork(drives, { do: 'format', driveId, key }).then(
            () => expect(false, 'a drive that was used is never formatted without its id'),
            (error: VmcError) => expect(error.code === 'not-blank', `${error.code} ${error.message}`),
          );
        },
      };
    },
    'drive.open': (point) => ({
      ready: async () => {
        await whole();
        await shut();
        if (point === 'drive.open:luks-close') await doWork(drives, { do: 'open', driveId, key });
        if (point === 'drive.open:luks-close') byHand(['umount', `/mnt/${driveId}`]);
        if (point === 'drive.open:mark-whole') {
          byHand(['blkdiscard', '--zeroout', device]);
          await runApart({ work: { do: 'format', driveId, key } }, 'drive.format:mark-whole');
        }
      },
      work: { do: 'open', driveId, key },
      right: async () => {
        expect((await state()) === 'mounted', 'mounted');
        expect((await drives.status(driveId)).unfinished === undefined, 'whole');
        if (point === 'drive.open:mark-whole') writeFileSync(kept, 'kept');
        isOpenAndWhole();
      },
    }),
    'drive.close': () => ({
      ready: whole,
      work: { do: 'close', driveId, key },
      right: async () => {
        expect((await state()) === 'locked', 'locked');
        await act('open');
        isOpenAndWhole();
      },
    }),
    'drive.grow': (point) => ({
      ready: async () => {
        await whole();
        // As if the host had added room: the open volume, and then its file system, are smaller than they could be.
        if (point === 'drive.grow:luks') {
          await shut();
          const secret = { input: Buffer.from(key, 'base64') };
          byHand(['cryptsetup', 'open', '--allow-discards', '--key-file', '-', device, `vmc-${driveId}`], secret);
          byHand(['e2fsck', '-fy', `/dev/mapper/vmc-${driveId}`], { codes: [0, 1] });
          byHand(['resize2fs', `/dev/mapper/vmc-${driveId}`, '32M']);
          byHand(['cryptsetup', 'resize', '--key-file', '-', '--size', '65536', `vmc-${driveId}`], secret);
          byHand(['mkdir', '--parents', `/mnt/${driveId}`]);
          byHand(['mount', `/dev/mapper/vmc-${driveId}`, `/mnt/${driveId}`]);
        }
      },
      work: { do: 'grow', driveId, key },
      right: async () => {
        const { sizeBytes = 0 } = await drives.status(driveId);
        const blocks = Number(
          /Block count:\s+(\d+)/.exec(byHand(['dumpe2fs', '-h', `/dev/mapper/vmc-${driveId}`]))?.[1],
        );
        expect(blocks * 4096 === sizeBytes - 16 * 1024 * 1024, `${blocks} blocks of ${sizeBytes} bytes`);
        isOpenAndWhole();
      },
    }),
    'drive.trim': () => ({ ready: whole, work: { do: 'trim', driveId, key }, right: async () => isOpenAndWhole() }),
    'drive.freeze': () => ({
      ready: whole,
      work: { do: 'freeze', driveId, key, seconds: 20 },
      right: async () => {
        expect((await drives.status(driveId)).frozenUntil !== undefined, 'frozen');
        await act('thaw');
        isOpenAndWhole();
      },
    }),
    'drive.thaw': () => ({
      ready: async () => {
        await whole();
        await act('freeze', { seconds: 20 });
      },
      work: { do: 'thaw', driveId, key },
      right: async () => {
        expect((await drives.status(driveId)).frozenUntil === undefined, 'not frozen');
        isOpenAndWhole();
        await act('freeze');
        await act('thaw');
      },
    }),
    'drive.settings': () => ({
      ready: async () => {
        await act('settings', { weeklyTrim: true });
      },
      work: { do: 'settings', driveId, key, weeklyTrim: false },
      right: async () => expect((await drives.status(driveId)).weeklyTrim === false, 'switched off'),
    }),
  };

  const survived: Survived[] = [];
  for (const point of points) {
    const operation = point.slice(0, point.indexOf(':'));
    const make = cases[operation];
    expect(make !== undefined, `there is a case for ${operation}`);
    const { ready, work, right } = make(point);
    try {
      await ready();
      const apart = await runApart({ work }, point);
      expect(apart.crashed, `it came there, and not to ${JSON.stringify(apart)}`);
      const left = await drives.status(driveId);
      if (operation === 'drive.freeze') await drives.thawAll(context); // as vmc does when it starts
      await doWork(drives, work);
      await right();
      survived.push({ point, left: `${left.state}${left.unfinished === true ? ', unfinished' : ''}` });
    } catch (error) {
      throw new VmcError('internal', `${point}: ${(error as Error).message}\n${(error as Error).stack}`);
    }
  }
  await act('close');
  rmSync(STATE_FOLDER, { recursive: true });
  expect(!existsSync(`/mnt/${driveId}`), 'no mount point is left');
  return survived;
}

await serve(async (request: Request) =>
  'work' in request
    ? doWork(drives, request.work)
    : walk(request.walk.driveId, request.walk.key, request.walk.points ?? CARE_FAULT_POINTS),
);
