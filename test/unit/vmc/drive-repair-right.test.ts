/** Whoever may open a drive may not yet repair it, which may lose what is on it: the right drives.full is asked for besides. */
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { newRequestId } from '../../../shared/rpc/peer.ts';
import type { LogReader } from '../../../vmc/audit/read-page.ts';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import type { Drives, OpenRequest } from '../../../vmc/drives/drives.ts';
import type { Media } from '../../../vmc/media/media.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import type { Tunnel } from '../../../vmc/tunnel/tunnel.ts';

t.test('drive.open with repair', async (t) => {
  const opened: OpenRequest[] = [];
  const status = { driveId: 'drv0123456789abcdef', state: 'mounted' };
  const open = async (request: OpenRequest) => {
    opened.push(request);
    return status;
  };
  const dispatch = makeDispatch({
    ...{ vmId: 'vm-0123456789ab', requests: new RequestMemory(), info: () => t.fail() as never },
    ...{ tunnel: {} as Tunnel, media: async () => ({}) as Media, people: {} as never, auditLog: {} as LogReader },
    audit: { refuse: async () => {}, around: ((_event: object, work: () => unknown) => work()) as never },
    drives: async () => ({ open: open }) as unknown as Drives,
  });
  const ask = (rights: Right[], repair: boolean) =>
    dispatch({ fingerprint: 'SHA256:x', rights: () => new Set(rights), mayRecord: () => true } as never)(
      'drive.open',
      { driveId: status.driveId, key: Buffer.alloc(32).toString('base64'), name: 'data', repair },
      { progress: () => {}, signal: new AbortController().signal, requestId: newRequestId(), after: 0 },
    );
  await t.rejects(ask(['drives'], true), { code: 'forbidden' });
  t.same(opened, []);
  t.match(await ask(['drives'], false), { state: 'mounted' });
  t.match(await ask(['drives', 'drives.full'], true), { state: 'mounted' });
  t.same(
    opened.map(({ repair }) => repair),
    ['none', 'full'],
  );
});
