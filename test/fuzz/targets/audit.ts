/** Audit logs that somebody else keeps and shows again: what is said to be proven is what the VM wrote (C16). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { lineHash, signCheckpoint } from '../../../shared/audit/chain.ts';
import { exactly } from '../../../shared/audit/expected-key.ts';
import { LineSplitter } from '../../../shared/audit/lines.ts';
import {
  type AuditRecord,
  encodeRecord,
  isCheckpoint,
  MAX_TORN_BYTES,
  NO_HASH,
  parseRecord,
} from '../../../shared/audit/record.ts';
import { type Fault, type Head, LogVerifier, type Report } from '../../../shared/audit/verifier.ts';
import { isFault } from '../../../shared/audit/verify-files.ts';
import { utf8 } from '../../../shared/bytes.ts';
import type { Identity } from '../../../shared/identity/identity.ts';
import { printable } from '../../../shared/printable.ts';
import { link } from '../../../vmc/audit/plan-batch.ts';
import type { Random } from '../random.ts';
import { insist, type Target, type Verdict } from '../target.ts';
import { mallory, NOON, vm } from './people.ts';

const VM = 'vm-0123456789ab';
const LOG = '5a'.repeat(16);
const KEY = vm.public.ed25519.toBase64();
const at = new Date(NOON).toISOString();

/** Two files in one, with everything that a log can hold, as the VM writes it. */
function genuineLog(): string {
  let head: Head = { seq: 0, hash: NO_HASH };
  let text = '';
  const add = (make: (seq: number, prev: string) => AuditRecord) => {
    const linked = link(head, make);
    head = linked.head;
    text += Buffer.from(linked.line).toString('latin1');
  };
  const file = (number: number) =>
    add((seq, prev) => ({ seq, at, prev, what: 'log.file', format: 1, log: LOG, file: number, vm: VM, key: KEY }));
  const event = (what: string, result: string, of?: number) =>
    add((seq, prev) => ({ seq, at, prev, who: 'root', what, target: 'drv1', result, ...(of && { of }) }));
  const checkpoint = () => add((seq, prev) => signCheckpoint(vm, { seq, at, prev, log: LOG, vm: VM }));
  file(1);
  checkpoint();
  event('drive.open', 'begun');
  event('drive.open', 'ok', 3);
  const torn = '{"seq":5,"at":"2026-11\n';
  text += torn;
  const sha256 = createHash('sha256').update(torn).digest('hex');
  add((seq, prev) => ({ seq, at, prev, what: 'log.torn', bytes: torn.length, sha256 }));
  event('audit.gap', 'lost');
  checkpoint();
  file(2);
  event('channel.refused', 'malformed');
  checkpoint();
  event('drive.close', 'begun');
  return text;
}
const genuine = genuineLog();
const other = readFileSync(new URL('../../vectors/audit.jsonl', import.meta.url), 'latin1');

/** @param cut where the first piece ends, as a file is read in pieces. */
function judge(bytes: Uint8Array, cut: number): Fault | Report {
  const verifier = new LogVerifier({ key: exactly(vm.public.ed25519) });
  verifier.startFile('log');
  const lines = new LineSplitter(MAX_TORN_BYTES);
  let fault: Fault | undefined;
  const take = (line: Uint8Array, ended: boolean) => {
    fault = verifier.take(line, ended);
    return fault === undefined;
  };
  if (lines.push(bytes.subarray(0, cut), take) && lines.push(bytes.subarray(cut), take)) lines.end(take);
  return fault ?? verifier.finish();
}

/** Everything up to the last record that is signed. */
function provenPart(text: string, { signed }: Report): string {
  let end = 0;
  for (let from = 0, lf = text.indexOf('\n'); lf !== -1; from = lf + 1, lf = text.indexOf('\n', from)) {
    const record = parseRecord(text.slice(from, lf));
    if (record !== undefined && isCheckpoint(record) && record.seq === signed.seq) end = lf + 1;
  }
  return text.slice(0, end);
}

/** Tied together anew from the first line that is a record, as anybody can, and signed by `signer` under the VM's name and key. */
function rechained(input: Uint8Array, signer: Identity): Uint8Array {
  let head: Head | undefined;
  const lines = Buffer.from(input)
    .toString('latin1')
    .split('\n')
    .map((line) => {
      const record = parseRecord(line);
      if (record === undefined) return line;
      const { seq, prev } = head === undefined ? record : { seq: head.seq + 1, prev: head.hash };
      const { log, vm: name } = record as unknown as Record<'log' | 'vm', string>;
      const moved = isCheckpoint(record)
        ? { ...signCheckpoint(signer, { seq, at: record.at, prev, log, vm: name }), key: record.key }
        : { ...record, seq, prev };
      const encoded = encodeRecord(moved);
      if (parseRecord(encoded) === undefined) return line; // too long by now
      head = { seq, hash: lineHash(utf8(encoded)) };
      return encoded;
    });
  return new Uint8Array(Buffer.from(lines.join('\n'), 'latin1'));
}

/** @param forger makes mutated logs whole again. */
function logTarget(name: string, forger: Identity): Target {
  const run = (input: Uint8Array): Verdict => {
    const result = judge(input, input.length);
    insist(JSON.stringify(judge(input, input.length >> 1)) === JSON.stringify(result), 'pieces mean the same');
    if (isFault(result)) {
      insist(printable(result.message) === result.message && result.message.length < 300, 'a fault in short words');
      return `refused:${result.problem}`;
    }
    const text = Buffer.from(input).toString('latin1');
    if (forger !== vm) insist(genuine.includes(provenPart(text, result)), 'what is proven is what the VM wrote');
    return 'accepted';
  };
  return {
    name,
    from: 'peer',
    form: 'text',
    weight: 0,
    maxBytes: 65_536,
    words: ['\n', '"seq":', '"prev":"', 'log.torn', 'log.file', 'log.checkpoint', '\\u0000'],
    open: () => ({
      seeds: [genuine, other].map(utf8),
      run,
      repair: (input: Uint8Array, random: Random) => rechained(input, random.chance(0.5) ? forger : mallory),
    }),
  };
}

export const auditTargets: Target[] = [
  {
    name: 'audit/record',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 4096,
    open: () => ({
      seeds: `${genuine}${other}`.split('\n').map(utf8),
      run: (input) => {
        const line = Buffer.from(input).toString('latin1');
        const record = parseRecord(line);
        if (record === undefined) return 'refused:no record';
        insist(encodeRecord(record) === line && /^[\x20-\x7e]*$/.test(line), 'one way to write a record');
        return 'accepted';
      },
    }),
  },
  logTarget('audit/forged-log', mallory),
  logTarget('audit/signed-log', vm),
];
