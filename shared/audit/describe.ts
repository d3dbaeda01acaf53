/** The log in words, for people. */
import { VmcError } from '../errors.ts';
import { fingerprint } from '../identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import { printable } from '../run.ts';
import { type AuditRecord, isCheckpoint, isEvent, isFile, isTorn } from './record.ts';
import type { Fault, Report } from './verifier.ts';

/** A line a record. What began is left out where its end follows. */
export function describeRecords(records: readonly AuditRecord[]): string[] {
  const ended = new Set(records.flatMap((record) => (isEvent(record) && record.of !== undefined ? [record.of] : [])));
  return records.filter(({ seq }) => !ended.has(seq)).map(describeRecord);
}

function describeRecord(record: AuditRecord): string {
  const words = isEvent(record)
    ? [
        record.who,
        record.what,
        record.target,
        record.result === 'begun' ? '(began, end not recorded)' : `→ ${record.result}`,
      ]
    : isCheckpoint(record)
      ? ['vmc', 'signed all up to here']
      : isFile(record)
        ? ['vmc', `file ${record.file} begins`]
        : isTorn(record)
          ? ['vmc', `a crash had left ${record.bytes} bytes half written`]
          : [];
  // Nothing of a stranger's words but the plain characters reaches a terminal.
  return [record.at, String(record.seq).padStart(6), ...words.filter((word) => word !== undefined)]
    .map((word) => printable(word).replace(/[\n\p{Cf}\p{Co}\p{Cs}]/gu, '?'))
    .join('  ');
}

const keyFingerprint = (base64: string): string => fingerprint(Uint8Array.fromBase64(base64) as Ed25519PublicKey);

/** A report as `--json` gives it: stable. */
export const reportJson = (report: Report) => ({ ok: true, ...report, fingerprint: keyFingerprint(report.key) });

export function describeReport(it: Report): string {
  const { firstSeq, head, signed, unsigned, unfinished } = it;
  return [
    `whole        ${it.records} records, ${firstSeq} to ${head.seq}, and ${it.checkpoints} signatures`,
    `VM           ${it.vm}  ${keyFingerprint(it.key)}`,
    `proven       up to record ${signed.seq}, ${signed.at}`,
    `not signed   ${unsigned === 0 ? 'nothing' : `${unsigned} records after it`}`,
    `last record  --expect-seq ${head.seq} --expect-hash ${head.hash}`,
    ...(unfinished.length === 0 ? [] : [`unfinished   began, and no end is recorded: ${unfinished.join(', ')}`]),
    ...it.notes.map((note) => `note         ${note}`),
  ].join('\n');
}

/** @param signed up to where the log was proven before the fault. */
export function faultError({ file, line, seq, problem, message }: Fault, signed: number | undefined): VmcError {
  const where = `${file}, line ${line}${seq === undefined ? '' : `, record ${seq}`}`;
  return new VmcError(
    problem === 'wrong-key' ? 'wrong-key' : 'bad-data',
    `${where}: ${message}.`,
    problem === 'wrong-key'
      ? "Give the key of the VM that wrote this log: vmc fingerprint, or the VM's console."
      : signed === undefined
        ? 'Nothing of this log is proven.'
        : `It is proven up to record ${signed} only. Keep the files as they are, and ask who could write to them.`,
  );
}
