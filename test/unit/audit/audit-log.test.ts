import { appendFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { boundedEvent, encodeRecord, isEvent, MAX_LINE_BYTES, parseRecord } from '../../../shared/audit/record.ts';
import { VmcError } from '../../../shared/errors.ts';
import { listAll } from '../../../vmc/audit/log-files.ts';
import { REFUSAL_LIMITS, Refusals } from '../../../vmc/audit/refusals.ts';
import { makeLog, openLog, pathOf, proven, readLines, recordsOf, VM, verify, vm } from './support.ts';

t.test('C12 one line a record: ASCII, one spelling, bounded, whatever strangers say', async (t) => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 600 }), fc.string({ unit: 'grapheme', maxLength: 600 }));
  fc.assert(
    fc.property(text, text, text, text, (who, what, target, result) => {
      const record = {
        seq: Number.MAX_SAFE_INTEGER,
        at: '2026-11-23T00:00:00.000Z',
        prev: 'a'.repeat(64),
        ...boundedEvent({ who, what, target, of: Number.MAX_SAFE_INTEGER, result }),
      };
      const line = encodeRecord(record);
      if (!/^[ -~]*$/.test(line)) throw new Error('not printable ASCII');
      if (line.length > MAX_LINE_BYTES) throw new Error(`${line.length} bytes`);
      if (encodeRecord(parseRecord(line) as typeof record) !== line) throw new Error('another spelling');
    }),
    { numRuns: 100 },
  );
  const clipped = boundedEvent({ who: '\n'.repeat(99), what: 'log.checkpoint', target: '😀'.repeat(99), result: 'ok' });
  t.equal(clipped.what, 'other.log.checkpoint', 'no event passes for a record of the log itself');
  t.match(clipped.who, /^\n+…$/);
  t.match(clipped.target, /^(?:😀)+…$/u);
  const line = readFileSync(new URL('../../vectors/audit.jsonl', import.meta.url), 'latin1').split('\n')[2] ?? '';
  t.ok(parseRecord(line));
  const other = [
    line.replace('{', '{ '),
    line.replace('"seq":3', '"seq":3.0'),
    line.replace('"seq":3', '"seq":3,"seq":3'),
    line.replace('"seq"', '"\\u0073eq"'),
    line.replace(/("seq":3),("at":"[^"]*")/, '$2,$1'),
    line.replace(',"result"', ',"more":1,"result"'),
    line.replace('"what":"', '"what":"log.'),
    line.replace('"seq":3', '"seq":-3'),
    `${line} `,
    `[${line}]`,
  ];
  for (const bad of other) t.equal(parseRecord(bad), undefined, bad.slice(0, 60));
});

t.test(
  'C16 what two vmc wrote is one chain; the first record binds VM and key; each file is for root only',
  async (t) => {
    const dir = t.testdir();
    await makeLog(dir, 3);
    await makeLog(dir, 3);
    t.match(await proven(pathOf(dir)), { unsigned: 0, vm: VM, key: vm.public.ed25519.toBase64(), notes: [/clock/] });
    const [first, second] = recordsOf(pathOf(dir));
    t.match(first, { seq: 1, what: 'log.file', format: 1, file: 1, vm: VM, key: vm.public.ed25519.toBase64() });
    t.match(second, { seq: 2, what: 'log.checkpoint', vm: VM });
    t.equal(statSync(pathOf(dir)).mode & 0o777, 0o600);
    t.equal(statSync(join(dir, 'audit.reserve')).size, 1024 * 1024);
  },
);

t.test('C12 events before there is an identity are in the chain, and signed later', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir, { sign: undefined });
  await log.record({ who: 'vmc', what: 'bootstrap.refused', target: 'no\nsuch', result: 'bad-config' });
  await log.close();
  t.match(await verify(pathOf(dir)), { problem: 'unsigned' });
  await makeLog(dir, 1);
  t.match(await proven(pathOf(dir)), { unsigned: 0, records: 5 });
});

t.test('C16 an action is on disk before it begins and before it is answered', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir);
  const event = { who: 'SHA256:ann', what: 'drive.open', target: 'drv1' };
  const answer = await log.around(event, async () => {
    t.match(recordsOf(pathOf(dir)).at(-1), { ...event, result: 'begun' });
    return 7;
  });
  t.equal(answer, 7);
  const [begun, ended] = recordsOf(pathOf(dir)).filter(isEvent);
  t.match(ended, { ...event, of: begun?.seq, result: 'ok' });
  const failing = log.around(event, async () => Promise.reject(new VmcError('wrong-key', 'SECRETVALUE')));
  await t.rejects(failing, { code: 'wrong-key' });
  t.match(recordsOf(pathOf(dir)).at(-1), { result: 'wrong-key' });
  await t.rejects(
    log.around(event, async () => Promise.reject(new Error('SECRETVALUE'))),
    /SECRETVALUE/,
  );
  t.match(recordsOf(pathOf(dir)).at(-1), { result: 'internal' });
  t.notMatch(readFileSync(pathOf(dir), 'utf8'), /SECRETVALUE/);
  const stuck = Promise.withResolvers<void>();
  const begunNow = Promise.withResolvers<void>();
  const cut = log.around(event, () => {
    begunNow.resolve();
    return stuck.promise;
  });
  await begunNow.promise;
  const { unfinished } = await proven(pathOf(dir));
  t.same(unfinished, [recordsOf(pathOf(dir)).at(-1)?.seq], 'began, and no end is recorded');
  stuck.resolve();
  await cut;
  t.same((await proven(pathOf(dir))).unfinished, []);
  await log.close();
});

t.test('C16 a signature after at most 64 records, in a burst too; numbers without a gap', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir);
  const seqs = recordsOf(pathOf(dir)).length;
  await Promise.all(Array.from({ length: 900 }, () => log.record({ who: 'root', what: 'x', result: 'ok' })));
  await log.close();
  const records = recordsOf(pathOf(dir));
  t.equal(records.filter(isEvent).length, 900);
  t.equal(seqs, 2);
  let run = 0;
  for (const record of records) {
    run = record.what === 'log.checkpoint' ? 0 : run + 1;
    if (run > 64) t.fail(`${run} records without a signature, at ${record.seq}`);
  }
  t.match(await proven(pathOf(dir)), { unsigned: 0, notes: [] });
});

t.test('C16 more than 1000 waiting events are counted, and told as a gap', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir);
  await Promise.all(Array.from({ length: 1100 }, () => log.record({ who: 'root', what: 'x', result: 'ok' })));
  await log.close();
  const events = recordsOf(pathOf(dir)).filter(isEvent);
  t.equal(events.filter(({ what }) => what === 'x').length, 1000);
  t.match(
    events.filter(({ what }) => what === 'audit.gap'),
    [{ target: '100 records', result: 'lost' }],
  );
  t.match(await proven(pathOf(dir)), { unsigned: 0, notes: [/lost/] });
});

t.test('C16 a crash at any byte of the last write: nothing is thrown away, and the chain goes on', async (t) => {
  const dir = t.testdir();
  await makeLog(dir, 5);
  const good = readFileSync(pathOf(dir));
  const lines = readLines(pathOf(dir));
  const tail = lines.slice(-2).join('').length;
  const cuts = fc.sample(fc.integer({ min: good.length - tail, max: good.length - 1 }), { numRuns: 12, seed: 1 });
  for (const cut of cuts) {
    writeFileSync(pathOf(dir), good.subarray(0, cut));
    await makeLog(dir, 2);
    const after = readFileSync(pathOf(dir));
    if (!after.subarray(0, cut).equals(good.subarray(0, cut))) t.fail(`bytes before ${cut} are gone`);
    await proven(pathOf(dir));
  }
  t.pass(`${cuts.length} cuts`);

  writeFileSync(pathOf(dir), Buffer.concat([good, Buffer.alloc(4096), Buffer.from(`\n${lines.at(3)}`)]));
  const { log, problems } = await openLog(dir);
  t.match(problems, [/crash left \d+ bytes/]);
  await log.close();
  t.match((await proven(pathOf(dir))).notes, [/1 times a crash/, /clock/], 'a hole with a whole line after it');

  appendFileSync(pathOf(dir), '{"to');
  const again = readFileSync(pathOf(dir));
  await makeLog(dir, 1);
  const told = readFileSync(pathOf(dir), 'latin1').indexOf('"log.torn"', again.length);
  truncateSync(pathOf(dir), told);
  await makeLog(dir, 1);
  t.match((await proven(pathOf(dir))).notes, [/2 times a crash/, /clock/], 'a crash while a crash was told');
});

t.test('C16 tampering before a restart is not taken for a crash', async (t) => {
  const dir = t.testdir();
  for (const at of [90]) {
    rmSync(pathOf(dir), { force: true });
    await makeLog(dir, 150);
    const lines = readLines(pathOf(dir));
    for (const bad of ['#\n', (lines[at] as string).replace('root', 'eve'), '']) {
      writeFileSync(pathOf(dir), lines.with(at, bad).join(''));
      await makeLog(dir, 80);
      t.match(await verify(pathOf(dir)), { line: at + 1, problem: /malformed|changed|missing/ });
    }
  }
});

t.test('C16 a log that is moved away, emptied or garbage stops nobody, and the hole shows', async (t) => {
  const dir = t.testdir();
  await makeLog(dir, 3);
  const { log, problems } = await openLog(dir);
  rmSync(pathOf(dir));
  await log.tend();
  await log.record({ who: 'root', what: 'x', result: 'ok' });
  t.match(problems, [/moved the audit log/]);
  await log.close();
  t.match(await proven(pathOf(dir)), { firstSeq: 8, notes: [/starts at record 8/] });
  writeFileSync(pathOf(dir), 'garbage');
  await makeLog(dir, 1);
  t.match(await proven(pathOf(dir)), { firstSeq: 1, records: 4 });
});

t.test('C12 refusals are bounded by minute and by day, and none is written when room is short', async (t) => {
  const refusals = new Refusals();
  let written = 0;
  let told = 0;
  for (let minute = 0; minute < 24 * 60; minute++)
    for (let i = 0; i < 100; i++) {
      const now = (minute + 24 * 60) * 60_000;
      told += refusals.takeUnwritten(now);
      if (refusals.admit(now, `${i % 5}`)) written++;
    }
  t.equal(written, REFUSAL_LIMITS.perDay);
  t.equal(written + told + refusals.takeAll(), 100 * 24 * 60, 'every one is counted');
  t.equal(refusals.admit(48 * 60 * 60_000, 'ann'), true, 'the next day');
  t.equal(refusals.admit(48 * 60 * 60_000, 'ann', true), false);

  const dir = t.testdir();
  let time = Date.UTC(2026, 10, 23);
  const { log } = await openLog(dir, { now: () => new Date(time) });
  const refuse = () => log.refuse({ who: 'unknown', what: 'channel.refused', result: 'malformed' });
  await Promise.all(Array.from({ length: 100 }, refuse));
  time += 60_000;
  await refuse();
  await log.close();
  const events = recordsOf(pathOf(dir)).filter(isEvent);
  t.equal(events.length, 30 + 2, 'half of the lines are kept for others');
  t.match(events.at(-2), { what: 'audit.summarised', target: '70 refusals' });
});

t.test('C12 who is refused again and again does not hide that others are', async (t) => {
  const refusals = new Refusals();
  for (let i = 0; i < 1000; i++) refusals.admit(0, 'ann');
  t.equal(refusals.admit(0, 'bob'), true);
  const day = new Refusals();
  for (let minute = 0; minute < 1000; minute++) for (let i = 0; i < 60; i++) day.admit(minute * 60_000, 'ann');
  t.equal(day.admit(1000 * 60_000, 'ann'), false);
  t.equal(day.admit(1000 * 60_000, 'bob'), true);
});

t.test('C16 old files are deleted only when that is configured, and it is recorded', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir, { maxMegabytes: 0.01, keepFiles: 2 });
  for (let i = 0; i < 200; i++) await log.record({ who: 'root', what: 'x', target: `${i}`, result: 'ok' });
  await log.close();
  const files = await listAll(dir);
  t.equal(files.length, 3);
  t.match(await proven(files), { unsigned: 0, notes: [/starts at record/] });
  t.ok(files.flatMap(recordsOf).some(({ what }) => what === 'audit.pruned'));
});
