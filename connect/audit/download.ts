/** Takes a VM's audit log page by page, and verifies it on the way: nothing is kept that does not hold. */
import { AUDIT_PAGE_BYTES } from '../../shared/api/audit.ts';
import { lineHash } from '../../shared/audit/chain.ts';
import { LineSplitter } from '../../shared/audit/lines.ts';
import { type AuditRecord, MAX_TORN_BYTES, parseRecord } from '../../shared/audit/record.ts';
import type { Fault, LogVerifier, Position } from '../../shared/audit/verifier.ts';
import { VmcError } from '../../shared/errors.ts';

export type ReadPage = (position: Position) => Promise<{ data: Uint8Array; next: Position }>;

export interface Download {
  readPage: ReadPage;
  verifier: LogVerifier;
  from: Position;
  /** The hash of the first record that comes, when it was seen before; the verifier goes on after it. */
  seenHash?: string | undefined;
  onRecord: (record: AuditRecord) => void;
  /** Told of the bytes of each page once they were verified. */
  onBytes: (bytes: Uint8Array) => Promise<void>;
}

/** @returns the first fault, if any. @throws VmcError 'bad-data' for a VM that sends nonsense. */
export async function download(it: Download): Promise<Fault | undefined> {
  const lines = new LineSplitter(MAX_TORN_BYTES);
  let fault: Fault | undefined;
  let expected = it.seenHash;
  const take = (line: Uint8Array, ended: boolean): boolean => {
    if (expected !== undefined) {
      if (line.length > AUDIT_PAGE_BYTES || safeHash(line) !== expected) fault = rolledBack('is another one now');
      expected = undefined;
      return fault === undefined;
    }
    fault = it.verifier.take(line, ended);
    const record = fault === undefined && ended ? parseRecord(Buffer.from(line).toString('latin1')) : undefined;
    if (record !== undefined) it.onRecord(record);
    return fault === undefined;
  };
  let position = it.from;
  for (;;) {
    const { data, next } = await it.readPage(position);
    if (data.length === 0) break;
    const isAfter = next.file > position.file || (next.file === position.file && next.offset > position.offset);
    if (!isAfter) throw new VmcError('bad-data', 'The VM sends the same page of its audit log again and again.');
    if (!lines.push(data, take)) return fault;
    await it.onBytes(data);
    position = next;
  }
  return expected === undefined ? undefined : rolledBack('is not there any more');
}

export const rolledBack = (what: string): Fault => ({
  file: 'the log',
  line: 1,
  problem: 'rolled-back',
  message: `the last record that this device was shown ${what}`,
});

function safeHash(line: Uint8Array): string | undefined {
  try {
    return lineHash(line);
  } catch {
    return undefined; // longer than any record
  }
}
