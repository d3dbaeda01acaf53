import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { VmcError } from '../../../shared/errors.ts';
import { type HandleContext, newRequestId } from '../../../shared/rpc/peer.ts';
import type { LogReader } from '../../../vmc/audit/read-page.ts';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import { judgeSkew } from '../../../vmc/doctor/doctor.ts';
import type { Drives } from '../../../vmc/drives/drives.ts';
import type { Media } from '../../../vmc/media/media.ts';
import type { People } from '../../../vmc/people/people.ts';
import { listeningInodes, socketInode } from '../../../vmc/port22/parse-proc-net.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import type { Tunnel } from '../../../vmc/tunnel/tunnel.ts';

t.test('calls need their right, changing ones are audited, and no key gets into the log', async (t) => {
  const events: unknown[] = [];
  const audit = {
    around: async <T>(event: object, work: () => Promise<T>) => {
      events.push(event);
      return work();
    },
    refuse: async (event: unknown) => void events.push(event),
  };
  const drives = {
    list: async () => [],
    open: async () => {
      throw new VmcError('wrong-key', 'no');
    },
  } as unknown as Drives;
  const dispatch = makeDispatch({
    ...{ audit, drives: async () => drives, vmId: 'vm-0123456789ab', requests: new RequestMemory() },
    ...{
      media: async () => ({}) as Media,
      tunnel: {} as Tunnel,
      people: {} as People,
      auditLog: {} as LogReader,
      info: () => ({}) as never,
    },
  });
  const context: HandleContext = {
    progress: () => {},
    signal: new AbortController().signal,
    requestId: newRequestId(),
    after: 0,
  };
  let rights: ReadonlySet<Right> | undefined = new Set(['drives']);
  const handle = dispatch({ fingerprint: 'SHA256:ann', rights: () => rights, mayRecord: () => true });
  const key = Buffer.alloc(32, 7).toString('base64');
  const open = { driveId: 'drv0123456789abcdef', key, name: 'data' };
  await t.rejects(handle('drive.open', open, context), { code: 'wrong-key' });
  t.same(events, [{ who: 'SHA256:ann', what: 'drive.open', target: open.driveId }]);
  t.notMatch(JSON.stringify(events), key);
  t.same(await handle('drive.list', {}, context), { drives: [] }, 'reading is not audited');
  await t.rejects(handle('drive.format', open, context), { code: 'forbidden' });
  t.match(events[1], { what: 'drive.format', result: 'forbidden' });
  await t.rejects(handle('drive.open', { ...open, key: 'AAAA' }, context), { code: 'bad-request', message: /key/ });
  await t.rejects(handle('drive.open', { ...open, name: '../x' }, context), { code: 'bad-request' });
  await t.rejects(handle('toString', {}, context), { code: 'not-found' });
  rights = undefined;
  await t.rejects(
    handle('system.ping', { payload: 'x' }, context),
    { code: 'forbidden' },
    'a right taken away is gone at once',
  );
});

t.test(
  'C16 a right that is taken while the beginning of a call is being recorded is gone before it begins',
  async (t) => {
    let rights: ReadonlySet<Right> = new Set(['drives']);
    const audit = {
      around: async <T>(_event: object, work: () => Promise<T>) => {
        rights = new Set(['files']);
        return work();
      },
      refuse: async () => {},
    };
    const drives = async () => t.fail('nothing is done') as unknown as Drives;
    const dispatch = makeDispatch({
      ...{ audit, drives, vmId: 'vm-0123456789ab', requests: new RequestMemory() },
      ...{
        media: async () => ({}) as Media,
        tunnel: {} as Tunnel,
        people: {} as People,
        auditLog: {} as LogReader,
        info: () => ({}) as never,
      },
    });
    const { signal } = new AbortController();
    const context: HandleContext = { progress: () => {}, signal, requestId: newRequestId(), after: 0 };
    const handle = dispatch({ fingerprint: 'SHA256:ann', rights: () => rights, mayRecord: () => true });
    await t.rejects(handle('drive.close', { driveId: 'drv0123456789abcdef' }, context), { code: 'forbidden' });
  },
);

t.test('C16 a call that was stopped while its beginning was being recorded does not begin', async (t) => {
  const requests = new RequestMemory();
  const audit = {
    around: async <T>(_event: object, work: () => Promise<T>) => {
      await Promise.resolve(); // as a write takes its time
      requests.stop('SHA256:ann');
      return work();
    },
    refuse: async () => {},
  };
  const drives = async () => t.fail('nothing is done') as unknown as Drives;
  const dispatch = makeDispatch({
    ...{ audit, drives, requests, vmId: 'vm-0123456789ab' },
    ...{
      media: async () => ({}) as Media,
      tunnel: {} as Tunnel,
      people: {} as People,
      auditLog: {} as LogReader,
      info: () => ({}) as never,
    },
  });
  const { signal } = new AbortController();
  const context: HandleContext = { progress: () => {}, signal, requestId: newRequestId(), after: 0 };
  const handle = dispatch({
    fingerprint: 'SHA256:ann',
    rights: () => new Set<Right>(['drives', 'files']),
    mayRecord: () => true,
  });
  await t.rejects(handle('drive.close', { driveId: 'drv0123456789abcdef' }, context), { code: 'forbidden' });
});

t.test('B1 somebody who changes things too often is refused before a line is written', async (t) => {
  const refused: unknown[] = [];
  const audit = {
    around: async () => t.fail('nothing is recorded') as never,
    refuse: async (event: unknown) => void refused.push(event),
  };
  const drives = async () => t.fail('nothing is done') as unknown as Drives;
  const dispatch = makeDispatch({
    ...{ audit, drives, requests: new RequestMemory(), vmId: 'vm-0123456789ab' },
    ...{
      media: async () => ({}) as Media,
      tunnel: {} as Tunnel,
      people: {} as People,
      auditLog: {} as LogReader,
      info: () => ({}) as never,
    },
  });
  const { signal } = new AbortController();
  const context: HandleContext = { progress: () => {}, signal, requestId: newRequestId(), after: 0 };
  const rights = () => new Set<Right>(['drives']);
  const handle = dispatch({ fingerprint: 'SHA256:ann', rights, mayRecord: () => false });
  await t.rejects(handle('drive.close', { driveId: 'drv0123456789abcdef' }, context), { code: 'limit' });
  t.same(refused, [{ who: 'SHA256:ann', what: 'drive.close', result: 'limit' }], 'which is bounded');
  t.same(await handle('system.ping', { payload: 'x' }, context), { payload: 'x' });
});

t.test('C4 who listens on port 22, from /proc/net/tcp', async (t) => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18021 1 0 100 0 0 10 0
   1: 0100007F:0016 0100007F:D00E 01 00000000:00000000 00:00000000 00000000     0        0 99999 1 0 20 4 0 10 -1
   2: 00000000:1600 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77777 1 0 100 0 0 10 0
   3: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 18023 1 0
`;
  t.same(listeningInodes(table, 22), ['18021', '18023']);
  t.same(listeningInodes('', 22), []);
  t.equal(socketInode('socket:[18021]'), '18021');
  t.equal(socketInode('/dev/null'), undefined);
});

t.test('C17 clock skew', async (t) => {
  const at = (seconds: number) => judgeSkew(new Date(0), new Date(seconds * 1000));
  t.equal(at(0).state, 'ok');
  t.equal(at(-31).state, 'warn');
  t.match(at(-31).found, /31 s behind/);
  t.equal(at(240).state, 'bad');
});
