/** Writes to the audit log in a folder until it is killed, and prints the number of each event that is said to be on disk. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { AuditLog } from '../../../vmc/audit/audit-log.ts';
import { OPTIONS, VM } from '../../unit/audit/support.ts';

const dir = process.argv[2] as string;
const counter = join(dir, 'next');
const base = Number(await readFile(counter, 'utf8').catch(() => '0'));
await writeFile(counter, String(base + 1_000_000));
const log = await AuditLog.open(dir, { now: () => new Date(), onProblem: () => {} }, OPTIONS);
await log.signWith(generateIdentity(), VM);
for (let next = base; ; next += 8)
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      await log.record({ who: 'root', what: 'x', target: `${next + i}`, result: 'ok' });
      process.stdout.write(`${next + i}\n`);
    }),
  );
