/** C6: a large sparse file. `npm test` sets VMC_BIG_FILE to its size in bytes (4 GiB). */
import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { inOwnEtc } from './in-own-etc.ts';
import { startSite } from './sftp-site.ts';

const BYTES = Number(process.env.VMC_BIG_FILE ?? 256 * 1024 ** 2);

async function sha256Of(path: string): Promise<string> {
  const sum = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), sum);
  return sum.digest('hex');
}

await inOwnEtc(import.meta.url, () => {
  t.test(`a sparse file of ${BYTES} bytes, there and back, by its hash`, async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', ['files', 'upload', 'download']);
    const path = join(site.files, 'sparse');
    const file = await open(path, 'w');
    for (const at of [0, BYTES / 2, BYTES - 4096]) await file.write(Buffer.from(hash('sha256', `${at}`)), 0, 64, at);
    await file.truncate(BYTES);
    await file.close();
    const wanted = await sha256Of(path);
    const began = performance.now();
    const sent = await site.batch(bob, [`put ${path} big`]);
    t.equal(sent.code, 0, sent.stderr);
    const between = performance.now();
    t.equal(await sha256Of('/home/bob/big'), wanted, 'there');
    await rm(path);
    const beganBack = performance.now();
    const fetched = await site.batch(bob, [`get big ${path}-back`]);
    t.equal(fetched.code, 0, fetched.stderr);
    const megabytes = (ms: number) => `${Math.round(BYTES / 1e3 / ms)} MB/s`;
    t.comment(`put ${megabytes(between - began)}, get ${megabytes(performance.now() - beganBack)}`);
    t.equal((await stat(`${path}-back`)).size, BYTES);
    t.equal(await sha256Of(`${path}-back`), wanted, 'and back');
    t.ok(site.recorded(bob.who).includes(`file.download ok ${BYTES} bytes /home/bob/big`));
  });
});
