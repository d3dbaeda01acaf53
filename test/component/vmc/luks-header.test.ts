/** LUKS headers on files: cryptsetup needs no device-mapper for these. */
import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
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
  const path = join(t.testdir({}), 'drive');
  const file = await open(path, 'w');
  await file.truncate(24 * 1024 * 1024);
  await file.close();
  const key = randomBytes(32);
  await luksFormat(path, key);
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
