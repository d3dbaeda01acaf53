/** C12 C16 `connect vm audit`: the log of a VM over the channel, proven on the device, and never rolled back unseen. */
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { exactly } from '../../../shared/audit/expected-key.ts';
import { verifyFiles } from '../../../shared/audit/verify-files.ts';
import type { AuditLog } from '../../../vmc/audit/audit-log.ts';
import { auditPath, listAll } from '../../../vmc/audit/log-files.ts';
import type { FakeVm } from './fake-vm.ts';
import { startWorld } from './fake-world.ts';

interface Answer {
  new: number;
  head: { seq: number; hash: string };
  signed: number | null;
  records: { what: string; seq: number }[];
}

const world = await startWorld(t);
const ada = await world.admin('ada');
await world.addHost(ada);

async function makeVm(name: string): Promise<{ vm: FakeVm; log: AuditLog; act: (count: number) => Promise<void> }> {
  await ada.ok('vm', 'create', name, '--image', 'debian12', '--wait');
  const vm = world.vms.get(name) as FakeVm;
  const log = vm.audit as AuditLog;
  const act = async (count: number) => {
    for (let i = 0; i < count; i++) await log.record({ who: 'root', what: 'test.act', target: `${i}`, result: 'ok' });
  };
  return { vm, log, act };
}

t.test('C12 what is new since the last look, through changes of files', async (t) => {
  const { vm, act } = await makeVm('lab');
  await act(300);
  t.ok((await listAll(vm.stateDir)).length > 2, 'several files');
  const first = (await ada.ok('vm', 'audit', 'lab', '--json', '-n', '5')).json<Answer>();
  t.ok(first.new > 300);
  t.equal(first.records.length, 5);
  t.ok((first.signed ?? 0) > 200);
  await act(2);
  const second = (await ada.ok('vm', 'audit', 'lab', '--json')).json<Answer>();
  t.match(
    second.records.filter(({ what }) => what === 'test.act'),
    [{}, {}],
    'only what is new',
  );
  t.equal(second.records[0]?.seq, first.head.seq + 1);
  const text = (await ada.ok('vm', 'audit', 'lab', '--all')).io.output();
  t.match(text, /test\.act {2}1 {2}→ ok\n/);
  t.match(text, /\d+ new records, whole, signed up to \d+; the last is \d+\n$/);
  t.equal(statSync(join(ada.folder, 'audit-seen.json')).mode & 0o777, 0o600);
});

t.test('C16 --save keeps a copy that anybody can verify, and goes on where it ends', async (t) => {
  const { vm, act } = await makeVm('kept');
  const file = join(t.testdir(), 'kept.log');
  const key = exactly(vm.identity.public.ed25519);
  const stored = async () => Buffer.concat((await listAll(vm.stateDir)).map((path) => readFileSync(path)));
  const isCopy = async () => (await stored()).subarray(0, statSync(file).size).equals(readFileSync(file));
  await act(150);
  await ada.ok('vm', 'audit', 'kept', '--save', file);
  t.ok(await isCopy());
  t.equal(statSync(file).mode & 0o777, 0o600);
  const { result } = await verifyFiles([file], { key });
  t.notOk('problem' in result);
  for (const cut of [1, 500, 30_000]) {
    truncateSync(file, statSync(file).size - cut);
    await act(30);
    await ada.ok('vm', 'audit', 'kept', '--save', file);
    t.ok(await isCopy(), `a download that was cut by ${cut} bytes`);
  }
  const good = readFileSync(file);
  writeFileSync(file, good.toString('latin1').replace('test.act', 'test.bad'), 'latin1');
  const bad = await ada.run('vm', 'audit', 'kept', '--save', file);
  t.equal(bad.code, 65);
  t.match(bad.io.errors(), /kept\.log, line \d+, record \d+: it is not the record that record \d+ follows/);
});

t.test('C16 a log that is changed, cut or replaced by an older state is refused', async (t) => {
  const { vm, log, act } = await makeVm('rolled');
  await act(20);
  await log.tend();
  const old = readFileSync(auditPath(vm.stateDir));
  const other = await makeVm('other');
  await other.act(1);
  await ada.ok('vm', 'audit', 'rolled');
  await act(5);
  await ada.ok('vm', 'audit', 'rolled');
  const page = log.reader.page.bind(log.reader);
  const head = log.reader.head.bind(log.reader);

  const refused = async (message: RegExp) => {
    const { code, io } = await ada.run('vm', 'audit', 'rolled');
    t.equal(code, 65);
    t.match(io.errors(), message);
  };
  log.reader.page = async (at) => {
    const { data, next } = await page(at);
    return {
      data: new Uint8Array(
        Buffer.from(data)
          .toString('latin1')
          .replace(/root|ok/, 'no')
          .split('')
          .map((c) => c.charCodeAt(0)),
      ),
      next,
    };
  };
  await refused(/is another one now/);
  log.reader.page = async (at) => ({ data: old.subarray(at.offset), next: { file: at.file, offset: old.length } });
  await refused(/is not there any more|is another one now/);
  log.reader.head = async () => ({ ...(await head()), seq: 3 });
  await refused(/the log ends at 3/);
  log.reader.head = () => (other.log as AuditLog).reader.head();
  await refused(/another log/);
  log.reader.head = head;
  log.reader.page = async (at) => ({ ...(await page({ ...at, offset: 0 })), next: at });
  await refused(/is another one now|again and again/);
  log.reader.page = page;
  await ada.ok('vm', 'audit', 'rolled');
  t.pass('and the true one is taken again');
});
