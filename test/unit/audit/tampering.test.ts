/** C16: every kind of tampering with an audit log is seen, and named at its line. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import { lineHash, signCheckpoint } from '../../../shared/audit/chain.ts';
import { exactly, parseExpectedKey } from '../../../shared/audit/expected-key.ts';
import { type AuditRecord, encodeRecord, isCheckpoint, parseRecord } from '../../../shared/audit/record.ts';
import { type Fault, LogVerifier, type Report } from '../../../shared/audit/verifier.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { makeLog, openLog, pathOf, proven, readLines, VM, verify, vm, writeLines } from './support.ts';

/** The lines of a text, through the verifier alone: no files, so that thousands of them take seconds. */
function judge(text: Uint8Array): Fault | Report {
  const verifier = new LogVerifier({ key: exactly(vm.public.ed25519) });
  verifier.startFile('log');
  let from = 0;
  for (let lf = text.indexOf(10); lf !== -1; lf = text.indexOf(10, from)) {
    const fault = verifier.take(text.subarray(from, lf));
    if (fault !== undefined) return fault;
    from = lf + 1;
  }
  const fault = from < text.length ? verifier.take(text.subarray(from), false) : undefined;
  return fault ?? verifier.finish();
}

/** Ties records together again, as somebody can who has no key. */
function rechain(lines: readonly string[], from: number): string[] {
  const out = lines.slice(0, from);
  for (const line of lines.slice(from)) {
    const before = out.at(-1);
    const record = parseRecord(line.trimEnd()) as AuditRecord;
    const prev = before === undefined ? record.prev : lineHash(utf8(before.trimEnd()));
    out.push(`${encodeRecord({ ...record, seq: out.length + 1, prev })}\n`);
  }
  return out;
}

t.test('C16 any flipped byte is found at its line', async (t) => {
  const dir = t.testdir();
  await makeLog(dir, 150);
  const good = readFileSync(pathOf(dir));
  t.match(judge(good), { unsigned: 0, records: 155, checkpoints: 4, notes: [] });
  const lineAt = (offset: number) => good.subarray(0, offset).filter((byte) => byte === 10).length + 1;
  fc.assert(
    fc.property(fc.nat(good.length - 2), fc.integer({ min: 1, max: 255 }), (offset, flip) => {
      const bad = Uint8Array.from(good);
      bad[offset] = (bad[offset] as number) ^ flip;
      const found = judge(bad);
      if (!('problem' in found)) throw new Error(`not seen: byte ${offset}`);
      if (found.line !== lineAt(offset)) throw new Error(`${found.problem} at ${found.line}, not ${lineAt(offset)}`);
    }),
    { numRuns: 300 },
  );
  t.pass('300 flips');
});

t.test('C16 what is deleted, inserted, swapped or repeated is found', async (t) => {
  const dir = t.testdir();
  await makeLog(dir, 150);
  const good = readLines(pathOf(dir));
  const last = good.length - 1;
  const at = fc.integer({ min: 1, max: last - 1 });
  const judged = (lines: readonly string[]) => judge(utf8(lines.join('')));
  const expectFault = (lines: readonly string[], line: number, problem: RegExp) => {
    const found = judged(lines);
    if (!('problem' in found)) throw new Error('not seen');
    if (found.line !== line || !problem.test(found.problem))
      throw new Error(`${found.problem} at ${found.line} (${found.message}), not at ${line}`);
  };
  fc.assert(
    fc.property(at, at, (i, j) => {
      const [a, b] = [Math.min(i, j), Math.max(i, j)];
      expectFault(good.toSpliced(i, 1), i + 1, /missing/);
      expectFault(good.toSpliced(i, 0, good[i] as string), i + 2, /repeated/);
      expectFault(good.toSpliced(i, 0, good[j] as string), i + 1 + (i === j ? 1 : 0), /missing|repeated/);
      if (a !== b) {
        const swapped = good.with(a, good[b] as string).with(b, good[a] as string);
        expectFault(swapped, a + 1, /missing/);
      }
      const garbage = good.toSpliced(i, 0, '{"seq":1}\n');
      expectFault(garbage, i + 1, /malformed/);
    }),
    { numRuns: 40 },
  );
  const made = { ...(parseRecord(good[70]?.trimEnd() ?? '') as AuditRecord), what: 'made.up' } as AuditRecord;
  for (const lines of [
    rechain(good.toSpliced(70, 1), 70),
    rechain(good.toSpliced(70, 0, good[20] as string), 70),
    rechain(good.with(70, `${encodeRecord(made)}\n`), 70),
  ])
    t.match(
      judged(lines),
      { problem: 'bad-signature' },
      'tied together again without the key: the next signature fails',
    );
  const checkpoints = good.flatMap((line, i) => (line.includes('log.checkpoint') ? [i] : []));
  t.match(judged(good.toSpliced(checkpoints[1] as number, 1)), { problem: 'missing' }, 'a checkpoint taken out');
  const without = rechain(good.toSpliced(checkpoints[1] as number, 1), checkpoints[1] as number);
  t.match(judged(without), { problem: 'bad-signature' }, 'and tied together again');
});

t.test('C16 cut at any byte: at most what was not signed is gone unseen, and a half record is told', async (t) => {
  const dir = t.testdir();
  await makeLog(dir, 70);
  const good = readFileSync(pathOf(dir));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: good.length - 1 }), (length) => {
      const found = judge(good.subarray(0, length));
      const whole = good.subarray(0, length).lastIndexOf(10) + 1;
      const lines = good.subarray(0, whole).toString().split('\n').slice(0, -1);
      const signed = lines.findLastIndex((line) => line.includes('log.checkpoint')) + 1;
      if (signed === 0) {
        if (!('problem' in found)) throw new Error('nothing is signed, yet it passed');
        return;
      }
      if ('problem' in found) throw new Error(`${length}: ${found.problem}`);
      if (found.signed.seq !== signed || found.unsigned !== lines.length - signed) throw new Error('wrong tail');
      if (whole < length !== found.notes.some((note) => /no whole record/.test(note))) throw new Error('no note');
    }),
    { numRuns: 300 },
  );
  t.pass('300 cuts');
  const path = join(dir, 'cut');
  writeLines(path, readLines(pathOf(dir)).slice(0, -3));
  const seen = (await proven(pathOf(dir))).head;
  t.match(await verify(path, { seen }), { problem: 'rolled-back' }, 'who saw a record before sees that it is gone');
  t.match(await verify(pathOf(dir), { seen }), { head: seen });
});

t.test('C16 other logs, other keys', async (t) => {
  const dir = t.testdir({ a: {}, b: {}, other: {} });
  const [a, b, other] = ['a', 'b', 'other'].map((name) => join(dir, name)) as [string, string, string];
  await makeLog(a, 100);
  await makeLog(b, 100);
  const eve = generateIdentity();
  await makeLog(other, 100, eve);
  const [linesA, linesB] = [readLines(pathOf(a)), readLines(pathOf(b))];
  const path = join(dir, 'spliced');
  for (const at of [1, 2, 30, 66, 67, 68, 100]) {
    writeLines(path, [...linesA.slice(0, at), ...linesB.slice(at)]);
    t.match(await verify(path), { problem: /changed|wrong-log/ }, `two logs of the same VM, joined at ${at}`);
    writeLines(path, rechain([...linesA.slice(0, at), ...linesB.slice(at)], at));
    t.match(await verify(path), { problem: /bad-signature|wrong-log/ }, 'and tied together');
  }
  t.match(await verify(pathOf(other)), { problem: 'wrong-key', line: 1 }, "another VM's log");
  t.match(await verify(pathOf(a), { key: exactly(eve.public.ed25519) }), { problem: 'wrong-key' });
  const forged = rechain(linesA.toSpliced(30, 1), 30).map((line, i) => {
    const record = parseRecord(line.trimEnd()) as AuditRecord;
    if (!isCheckpoint(record)) return line;
    const { seq, at, prev, log } = record;
    return i < 30 ? line : `${encodeRecord(signCheckpoint(eve, { seq, at, prev, log, vm: VM }))}\n`;
  });
  writeLines(path, forged);
  t.match(await verify(path), { problem: /changed|wrong-key|bad-signature/ }, "signed anew by somebody else's key");
  const rolledBack = (await proven(pathOf(b))).head;
  t.match(
    await verify(pathOf(a), { seen: rolledBack }),
    { problem: 'rolled-back' },
    'a whole other log of the same VM',
  );
});

t.test('C16 files of a log: in any order, none missing; older ones may have been deleted', async (t) => {
  const dir = t.testdir();
  const now = () => new Date(Date.UTC(2026, 10, 23));
  const { log } = await openLog(dir, { maxMegabytes: 0.017, now });
  for (let i = 0; i < 300; i++) await log.record({ who: 'root', what: 'x', target: `${i}`, result: 'ok' });
  await log.close();
  const files = ['audit.000001.log', 'audit.000002.log', 'audit.000003.log', 'audit.log'].map((name) =>
    join(dir, name),
  );
  const [one, two, three, current] = files as [string, string, string, string];
  const whole = await proven([current, three, one, two]);
  t.match(whole, { firstSeq: 1, unsigned: 0, notes: [] });
  t.match(await proven([two, three, current]), { head: whole.head, notes: [/starts at record \d+/] });
  t.match(await verify([one, three, current]), { problem: 'missing', file: three, line: 1 });
  t.match(await verify([one, two, two, three, current]), { problem: 'repeated', file: two, line: 1 });
  t.match(await proven([one, two]), { unsigned: 0 }, 'each file ends in a signature');
  const copy = join(dir, 'copy');
  copyFileSync(two, copy);
  writeFileSync(copy, readFileSync(two).subarray(0, -1000));
  t.match(
    await verify([one, copy, three, current]),
    { problem: /missing|malformed/ },
    'an end cut from one in the middle',
  );
});

t.test('C16 the log of docs/audit.md holds, for whoever writes another verifier', async (t) => {
  const vector = fileURLToPath(new URL('../../vectors/audit.jsonl', import.meta.url));
  const key = parseExpectedKey('iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=');
  t.match(await proven(vector, { key }), { records: 6, checkpoints: 2, unsigned: 0, unfinished: [], notes: [] });
  t.match(await verify(vector), { problem: 'wrong-key', line: 1 });
});
