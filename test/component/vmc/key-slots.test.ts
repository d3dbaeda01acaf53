/** Key slots and headers with the real cryptsetup, on files: no device-mapper is needed for these. */
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { armFaultPoints } from '../../../shared/fault-point.ts';
import { run } from '../../../shared/run.ts';
import { withHeader, writeHeader } from '../../../vmc/drives/header-copy.ts';
import { packHeader, unpackHeader } from '../../../vmc/drives/header-pack.ts';
import { addSlot, checkSlot, listSlots, removeSlot } from '../../../vmc/drives/key-slots.ts';
import { luksFormat } from '../../../vmc/drives/luks.ts';
import type { Secret } from '../../../vmc/drives/unlock.ts';

const driveId = 'drv0123456789abcdef';
const KEY_AREA_BYTES = 258_048;
const newKey = (): Secret => ({ kind: 'key', bytes: randomBytes(32) });
const passphrase: Secret = { kind: 'passphrase', bytes: Buffer.from('näher als gedacht, und \\ "anders"') };

async function formatted(t: Test, key: Secret): Promise<string> {
  armFaultPoints(undefined);
  const path = join(t.testdir({}), 'drive');
  const file = await open(path, 'w');
  await file.truncate(24 * 1024 * 1024);
  await file.close();
  await luksFormat(path, key.bytes);
  return path;
}

/** Trying the slot takes no time from now on. */
async function makeCheap(drive: string, slot: number, { bytes }: Secret): Promise<void> {
  const cost = ['--pbkdf', 'argon2id', '--pbkdf-force-iterations', '4', '--pbkdf-memory', '65536'];
  const args = ['luksConvertKey', '--batch-mode', '--key-file', '-', '--key-slot', String(slot), ...cost, drive];
  await run({ file: 'cryptsetup', args, stdin: bytes, timeoutMs: 60_000 });
}

t.test('C7 keys and passphrases open slots of their own; the last way in stays', async (t) => {
  const [first, second, stranger] = [newKey(), newKey(), newKey()];
  const drive = await formatted(t, first);
  const slots = async () => (await listSlots(driveId, drive)).map(({ slot, kind }) => `${slot} ${kind}`);

  await t.rejects(addSlot(driveId, drive, stranger, second), { code: 'wrong-key' });
  t.same(await slots(), ['0 key']);
  t.equal(await addSlot(driveId, drive, first, first), 0, 'what opens already gets no second slot');
  t.equal(await addSlot(driveId, drive, first, passphrase), 1);
  await makeCheap(drive, 1, passphrase); // it was tried at its real cost, as slots are when they are made
  t.equal(await addSlot(driveId, drive, passphrase, second), 2, 'a passphrase lets another key in');
  t.equal(await addSlot(driveId, drive, second, passphrase), 1);
  t.same(await slots(), ['0 key', '1 passphrase', '2 key']);
  t.equal(await checkSlot(driveId, drive, first), 0);
  t.equal(await checkSlot(driveId, drive, passphrase), 1);
  t.equal(await checkSlot(driveId, drive, second), 2);
  await t.rejects(checkSlot(driveId, drive, stranger), {
    code: 'wrong-key',
    message: /^The key does not fit[^0-9]*drv/,
  });

  await t.rejects(removeSlot(driveId, drive, first, 0), { code: 'wrong-state', message: /it stays/ });
  await t.rejects(removeSlot(driveId, drive, stranger, 0), { code: 'wrong-key' });
  await t.rejects(removeSlot(driveId, drive, first, 7), { code: 'not-found' });
  const material = async () => (await readFile(drive)).subarray(32_768, 32_768 + KEY_AREA_BYTES);
  const before = Buffer.from(await material());
  await removeSlot(driveId, drive, second, 0);
  t.same(await slots(), ['1 passphrase', '2 key']);
  const after = await material();
  let same = 0;
  for (let at = 0; at < KEY_AREA_BYTES; at += 4096)
    if (before.subarray(at, at + 4096).equals(after.subarray(at, at + 4096))) same++;
  t.equal(same, 0, 'nothing of the removed key is left in its place');
  await t.rejects(checkSlot(driveId, drive, first), { code: 'wrong-key' });
  await removeSlot(driveId, drive, second, 1);
  await t.rejects(removeSlot(driveId, drive, second, 2), { code: 'wrong-state' });
  t.equal(await checkSlot(driveId, drive, second), 2);
});

t.test('C7 a power cut while the header is written leaves the old keys or the new ones', async (t) => {
  const [first, second] = [newKey(), newKey()];
  const drive = await formatted(t, first);
  const before = await readFile(drive);
  await addSlot(driveId, drive, first, second);
  const after = await readFile(drive);
  const blocks = [];
  for (let at = 0; at < before.length; at += 4096)
    if (!before.subarray(at, at + 4096).equals(after.subarray(at, at + 4096))) blocks.push(at);
  t.ok(blocks.length > 2);
  // Keys, then one copy of the metadata, then the other, as writeHeader does; cut after each of them, and amid them.
  const order = [...blocks.filter((at) => at >= 32_768), ...blocks.filter((at) => at < 32_768)];
  const metadata = order.filter((at) => at < 32_768).length;
  for (const cut of [1, order.length - metadata, ...Array.from({ length: metadata }, (_, i) => order.length - i)]) {
    const image = Buffer.from(before);
    for (const at of order.slice(0, cut)) after.copy(image, at, at, at + 4096);
    await writeFile(drive, image);
    t.equal(await checkSlot(driveId, drive, first), 0, `after ${cut} of ${order.length} blocks`);
    t.equal(await addSlot(driveId, drive, first, second), 1, 'and it can be done again');
    t.equal(await checkSlot(driveId, drive, second), 1);
  }
});

t.test('C7 a header that was wiped comes back from its backup; a bomb, half of one and noise do not', async (t) => {
  const [first, second] = [newKey(), newKey()];
  const drive = await formatted(t, first);
  await addSlot(driveId, drive, first, second);
  const packed = await withHeader(driveId, drive, async (header) => packHeader(await readFile(header)));
  t.ok(packed.length < 700_000, 'what belongs to no key is left out');
  const file = await open(drive, 'r+');
  await file.write(Buffer.alloc(16 * 1024 * 1024), 0, undefined, 0);
  await file.close();
  await t.rejects(checkSlot(driveId, drive, first), { code: 'bad-data' });
  const copy = join(t.testdir({ copy: '' }), 'copy');
  await writeFile(copy, await unpackHeader(packed));
  const wiped = join(t.testdirName, 'drive');
  await writeFile(wiped, Buffer.alloc(24 * 1024 * 1024));
  await writeHeader(driveId, wiped, copy, 'all');
  t.equal(await checkSlot(driveId, wiped, second), 1);
  await t.rejects(unpackHeader(packed.subarray(0, -10)), { code: 'bad-data' });
  await t.rejects(unpackHeader(randomBytes(1000)), { code: 'bad-data' });
  await t.rejects(unpackHeader(await packHeader(Buffer.alloc(64 * 1024 * 1024))), { code: 'bad-data' });
  await t.rejects(unpackHeader(await packHeader(Buffer.alloc(1024))), { code: 'bad-data' });
});
