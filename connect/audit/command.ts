/** `connect vm audit`: what happened in a VM, proven on this device. */
import { appendFile, stat, truncate } from 'node:fs/promises';
import type { Command } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import { describeRecords, faultError } from '../../shared/audit/describe.ts';
import { exactly } from '../../shared/audit/expected-key.ts';
import type { AuditRecord } from '../../shared/audit/record.ts';
import { type Head, LogVerifier, type Position } from '../../shared/audit/verifier.ts';
import { isFault, verifyFiles } from '../../shared/audit/verify-files.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { presented, withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { wholeNumber } from '../options.ts';
import { withSession } from '../session.ts';
import { findVm } from '../vm/find.ts';
import { download, rolledBack } from './download.ts';
import { readSeen, type Seen, writeSeen } from './seen.ts';

interface AuditOptions {
  save?: string;
  all?: boolean;
  lines: number;
  json?: boolean;
}

export function addAuditCommand(vms: Command, io: ConnectIo): void {
  vms
    .command('audit')
    .description('Who did what in a VM since you last looked, proven by its signatures')
    .argument('<vm>', 'name or id')
    .option('--save <file>', 'keep the whole log there, or go on where that file ends')
    .option('--all', 'from the oldest record that the VM keeps')
    .option('-n, --lines <n>', 'show at most so many of the last records', wholeNumber(1, 100_000), 100)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm audit lab --save lab-audit.log')
    .action((wanted: string, options: AuditOptions, command: Command) => audit(io, wanted, options, command));
}

/** Where to begin, and what is known there. */
interface Start {
  from: Position;
  after?: (Head & { log: string; position: Position }) | undefined;
  seenHash?: string | undefined;
}

async function audit(io: ConnectIo, wanted: string, options: AuditOptions, command: Command): Promise<void> {
  await withSession(io, command, async (session) => {
    const vm = await findVm(session, wanted);
    const { ed25519, vmId, name } = presented(session, vm);
    const key = exactly(ed25519);
    const keyText = ed25519.toBase64();
    const { path } = session.folder;
    const before = await readSeen(path, vmId);
    const seen = before?.key === keyText ? before : undefined;
    const { save } = options;
    const records: AuditRecord[] = [];
    let count = 0;
    const verifier = await withControl(session, vm, async (rpc) => {
      const start =
        save !== undefined
          ? await continueFile(rpc, io, save, key)
          : seen === undefined || options.all === true
            ? await fromOldest(rpc, io)
            : await fromSeen(rpc, io, seen);
      const follower = new LogVerifier({ key, after: start.after });
      follower.startFile(`the log of ${name}`);
      const fault = await download({
        ...start,
        readPage: (position) => rpc.call(controlMethods.auditRead, position, { signal: io.signal }),
        verifier: follower,
        onRecord: (record) => {
          count++;
          records.push(record);
          if (records.length > 2 * options.lines) records.splice(0, options.lines);
        },
        onBytes: async (bytes) => {
          if (save !== undefined) await appendFile(save, bytes, { mode: 0o600 });
        },
      });
      if (fault !== undefined) throw faultError(fault, follower.signed?.seq);
      return follower;
    });
    if (save !== undefined) await proveFile(save, key, seen);
    else {
      const result = verifier.finish();
      // Nothing that is signed came since then: that is no fault.
      if (isFault(result) && !(result.problem === 'unsigned' && seen !== undefined))
        throw faultError(result, undefined);
    }
    const { head, last, log, signed } = verifier;
    if (head !== undefined && last !== undefined && log !== undefined && head.seq > (seen?.seq ?? 0))
      await writeSeen(path, vmId, { key: keyText, log, ...head, start: last.start, end: last.end });
    const shown = records.slice(-options.lines);
    const answer = { vm: name, vmId, new: count, head, signed: signed?.seq ?? null, records: shown };
    reply(io, options.json, answer, () =>
      [
        ...describeRecords(shown),
        `${count} new records, whole${signed === undefined ? '' : `, signed up to ${signed.seq}`}; the last is ${head?.seq ?? 0}${save === undefined ? '' : `; kept in ${save}`}`,
      ].join('\n'),
    );
  });
}

async function fromOldest(rpc: Control, io: ConnectIo): Promise<Start> {
  const { oldestFile } = await rpc.call(controlMethods.auditHead, {}, { signal: io.signal });
  return { from: { file: oldestFile, offset: 0 } };
}

async function fromSeen(rpc: Control, io: ConnectIo, seen: Seen): Promise<Start> {
  const { log, seq, oldestFile } = await rpc.call(controlMethods.auditHead, {}, { signal: io.signal });
  if (log !== seen.log) throw faultError(rolledBack('is of another log'), undefined);
  if (seq < seen.seq) throw faultError(rolledBack(`has the number ${seen.seq}, and the log ends at ${seq}`), undefined);
  if (oldestFile > seen.start.file) {
    note(io, 'The VM has deleted the files that this device was shown: from the oldest one that it keeps.');
    return { from: { file: oldestFile, offset: 0 } };
  }
  const after = { log, seq: seen.seq, hash: seen.hash, position: seen.end };
  return { from: seen.start, after, seenHash: seen.hash };
}

/** What is in the file has to hold before anything is added; the rest of a download that was cut is taken off. */
async function continueFile(
  rpc: Control,
  io: ConnectIo,
  path: string,
  key: (base64: string) => boolean,
): Promise<Start> {
  const { result, verifier } = await existing(path, key);
  if (result === undefined || verifier.last === undefined || verifier.head === undefined) return fromOldest(rpc, io);
  if (isFault(result) && result.problem !== 'unsigned') throw faultError(result, verifier.signed?.seq);
  await truncate(path, verifier.last.taken);
  const { end } = verifier.last;
  return { from: end, after: { ...verifier.head, log: verifier.log ?? '', position: end } };
}

async function existing(path: string, key: (base64: string) => boolean) {
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (isErrno(error, 'ENOENT')) return 0;
      throw new VmcError('bad-request', `${path} cannot be read.`, undefined, { cause: error });
    },
  );
  return size === 0 ? { result: undefined, verifier: new LogVerifier({ key }) } : verifyFiles([path], { key });
}

async function proveFile(path: string, key: (base64: string) => boolean, seen: Seen | undefined): Promise<void> {
  const { result, verifier } = await verifyFiles([path], { key, seen });
  if (isFault(result)) throw faultError(result, verifier.signed?.seq);
}
