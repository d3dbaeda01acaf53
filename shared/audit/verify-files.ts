/** Verifies the files of an audit log, in their order, without holding more than a piece of one in memory. */
import { open } from 'node:fs/promises';
import { VmcError } from '../errors.ts';
import { LineSplitter } from './lines.ts';
import { isFile, MAX_LINE_BYTES, MAX_TORN_BYTES, parseRecord } from './record.ts';
import { type Fault, LogVerifier, type Report, type VerifierOptions } from './verifier.ts';

const CHUNK_BYTES = 1024 * 1024;

/** @returns a fault (which has a `problem`) or what was proven. @throws VmcError 'not-found'. */
export async function verifyFiles(
  paths: readonly string[],
  options: VerifierOptions,
): Promise<{ result: Fault | Report; verifier: LogVerifier }> {
  const verifier = new LogVerifier(options);
  for (const path of await inOrder(paths)) {
    const fault = await verifyFile(path, verifier);
    if (fault !== undefined) return { result: fault, verifier };
  }
  return { result: verifier.finish(), verifier };
}

export const isFault = (result: Fault | Report): result is Fault => 'problem' in result;

async function verifyFile(path: string, verifier: LogVerifier): Promise<Fault | undefined> {
  verifier.startFile(path);
  const lines = new LineSplitter(MAX_TORN_BYTES);
  let fault: Fault | undefined;
  const take = (line: Uint8Array, ended: boolean) => {
    fault = verifier.take(line, ended);
    return fault === undefined;
  };
  const file = await openToRead(path);
  try {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      if (!lines.push(buffer.subarray(0, bytesRead), take)) return fault;
    }
    lines.end(take);
    return fault;
  } finally {
    await file.close();
  }
}

/** By the number that each file's first line gives it: people name files as they like. */
async function inOrder(paths: readonly string[]): Promise<string[]> {
  if (paths.length < 2) return [...paths];
  const numbered = await Promise.all(paths.map(async (path, i) => ({ path, number: (await fileNumber(path)) ?? i })));
  return numbered.sort((a, b) => a.number - b.number).map(({ path }) => path);
}

async function fileNumber(path: string): Promise<number | undefined> {
  const file = await openToRead(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(MAX_LINE_BYTES + 1), 0, MAX_LINE_BYTES + 1);
    const text = Buffer.from(buffer.subarray(0, bytesRead)).toString('latin1');
    const record = parseRecord(text.slice(0, Math.max(0, text.indexOf('\n'))));
    return record !== undefined && isFile(record) ? record.file : undefined;
  } finally {
    await file.close();
  }
}

async function openToRead(path: string) {
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw new VmcError('not-found', `${path} cannot be read.`, undefined, { cause });
  }
}
