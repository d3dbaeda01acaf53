/** Every page of a header that is read is in the audit log: they come in any order, and the first holds one byte that is not known. */
import t from 'tap';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import type { Drives } from '../../../vmc/drives/drives.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';

t.test('drive.headerRead', async (t) => {
  const targets: string[] = [];
  const readHeader = async () => ({ data: new Uint8Array(1), totalBytes: 2, sha256: '0'.repeat(64) });
  const dispatch = makeDispatch({
    ...{ vmId: 'vm-0123456789ab', requests: new RequestMemory(), info: () => t.fail() as never },
    ...{ tunnel: {} as never, media: {} as never, people: {} as never, auditLog: {} as never },
    audit: {
      refuse: async () => {},
      around: ((event: { target: string }, work: () => unknown) => {
        targets.push(event.target);
        return work();
      }) as never,
    },
    drives: async () => ({ keys: { readHeader } }) as unknown as Drives,
  });
  const handle = dispatch({
    fingerprint: 'SHA256:x',
    rights: () => new Set(['drives.full']),
    mayRecord: () => true,
  } as never);
  const context = { progress: () => {}, signal: new AbortController().signal };
  const driveId = 'drv0123456789abcdef';
  for (const offset of [0, 1]) await handle('drive.headerRead', { driveId, offset }, context as never);
  t.same(targets, [`${driveId} offset=0`, `${driveId} offset=1`]);
});
