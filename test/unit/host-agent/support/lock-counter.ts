/** `lock-counter.ts FOLDER FILE TIMES`: adds one to the number in FILE, TIMES times, each under the lock. Each read and write is apart, so that two holders would lose a step. */
import { readFile } from 'node:fs/promises';
import { Locks } from '../../../../host-agent/state/locks.ts';
import { writeAtomic } from '../../../../shared/files.ts';

const [folder = '', file = '', times = '0'] = process.argv.slice(2);
const locks = new Locks(folder);
for (let i = 0; i < Number(times); i++)
  await locks.hold(['x'], async () => {
    const before = Number(await readFile(file, 'utf8'));
    await new Promise(setImmediate);
    await writeAtomic(file, String(before + 1), 0o600); // it may be killed in here
  });
