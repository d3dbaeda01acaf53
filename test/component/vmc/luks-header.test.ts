/** LUKS headers on files: cryptsetup needs no device-mapper for these. */
import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { withHeader } from '../../../vmc/drives/header-copy.ts';
import { checkKey, luksFormat } from '../../../vmc/drives/luks.ts';

const driveId = 'drv0123456789abcdef';
const HEADER_BYTES = 16 * 1024;
const CHECKSUM = { from: 448, to: 512 } as const;

/** Rewrites the metadata of both copies of the header, as a host can, checksums included (LUKS2 on-disk format, 2.2). */
async function forge(path: string, change: (json: string) => string): Promise<void> {
  const image = await readFile(path);
  for (const at of [0, HEADER_BYTES]) {
    const header = image.subarray(at, at + HEADER_BYTES);
    const json = header.subarray(4096);
    const text = change(json.toString('latin1', 0, json.indexOf(0)));
    json.fill(0).write(text, 'latin1');
    header.fill(0, CHECKSUM.from, CHECKSUM.to);
    createHash('sha256').update(header).digest().copy(header, CHECKSUM.from);
  }
  await writeFile(path, image);
}

t.test('C7 a header that a host changed opens nothing', async (t) => {
  const key = randomBytes(32);
  const path = await formatted(t, key);
  await checkKey(driveId, path, key);
  await t.rejects(checkKey(driveId, path, randomBytes(32)), { code: 'wrong-key' });

  await forge(path, (json) => json);
  await checkKey(driveId, path, key);
  const whole = await readFile(path);
  for (const change of [
    // The slot is not encrypted: any key "opens" it, and the host has chosen what is in it.
    (json: string) => json.replace(/("area":\{[^}]*"encryption":")aes-xts-plain64/, '$1cipher_null-ecb'),
    // What is written to the volume arrives at the host as it is.
    (json: string) => json.replace(/("segments":\{.*"encryption":")aes-xts-plain64/s, '$1cipher_null-ecb'),
  ]) {
    await writeFile(path, whole);
    await forge(path, change);
    await t.rejects(checkKey(driveId, path, key), { code: 'bad-data', message: /header/ });
  }
});

/** A blank drive of 24 MiB with a header. */
async function formatted(t: Test, key: Uint8Array): Promise<string> {
  const path = join(t.testdir({}), 'drive');
  const file = await open(path, 'w');
  await file.truncate(24 * 1024 * 1024);
  await file.close();
  await luksFormat(path, key);
  return path;
}

t.test('C7 cryptsetup gets the metadata as it was understood, not as it is written on the disk', async (t) => {
  const key = randomBytes(32);
  const path = await formatted(t, key);
  // Of two members of one name a program may take the first or the last.
  await forge(path, (json) => `{"config":{"requirements":["online-reencrypt"]},${json.slice(1)}`);
  const copied = await withHeader(driveId, path, (header) => readFile(header));
  t.equal(copied.length, 16 * 1024 * 1024);
  t.notMatch(copied.subarray(0, 2 * HEADER_BYTES).toString('latin1'), /requirements/);
  await checkKey(driveId, path, key);
});

t.test('C7 one copy of the metadata is enough; the newer one counts; without any nothing opens', async (t) => {
  const key = randomBytes(32);
  const path = await formatted(t, key);
  const whole = await readFile(path);
  const damaged = async (...places: number[]) => {
    const image = Buffer.from(whole);
    for (const at of places) image.fill(0x55, at + 5000, at + 5010);
    await writeFile(path, image);
  };
  await damaged(0);
  await checkKey(driveId, path, key);
  await damaged(HEADER_BYTES);
  await checkKey(driveId, path, key);
  await damaged(0, HEADER_BYTES);
  await t.rejects(checkKey(driveId, path, key), { code: 'bad-data', message: /damaged/, hint: /header restore/ });
  const image = Buffer.from(whole);
  const newer = image.subarray(HEADER_BYTES, 2 * HEADER_BYTES);
  newer.writeBigUInt64BE(newer.readBigUInt64BE(16) + 1n, 16);
  newer.fill(0, CHECKSUM.from, CHECKSUM.to);
  newer.write(newer.toString('latin1', 4096).replace('"aes-xts-plain64"', '"cipher_null-ecb"'), 4096, 'latin1');
  createHash('sha256').update(newer).digest().copy(newer, CHECKSUM.from);
  await writeFile(path, image);
  await t.rejects(checkKey(driveId, path, key), { code: 'bad-data', message: /not one that vmc makes/ });
});

t.test('C7 a key slot that lies outside the header is refused', async (t) => {
  const key = randomBytes(32);
  const path = await formatted(t, key);
  const whole = await readFile(path);
  for (const [from, to] of [
    ['"offset":"32768"', '"offset":"99999999"'],
    ['"offset":"32768"', '"offset":"0"'],
    ['"offset":"32768"', '"offset":"-1"'],
    ['"offset":"16777216"', '"offset":"32768"'],
  ] as const) {
    await writeFile(path, whole);
    await forge(path, (json) => {
      t.match(json, from);
      return json.replace(from, to);
    });
    await t.rejects(checkKey(driveId, path, key), { code: 'bad-data' }, to);
  }
});
