/** Logs made by the real writer, for tests of what reads them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exactly } from '../../../shared/audit/expected-key.ts';
import { type AuditRecord, parseRecord } from '../../../shared/audit/record.ts';
import type { Fault, Report, VerifierOptions } from '../../../shared/audit/verifier.ts';
import { isFault, verifyFiles } from '../../../shared/audit/verify-files.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { AuditLog, type AuditOptions } from '../../../vmc/audit/audit-log.ts';

export const VM = 'vm-0123456789ab';
export const vm: Identity = generateIdentity();
export const OPTIONS: AuditOptions = { failClosed: false, maxMegabytes: 64, keepFiles: 0 };

/** Its clock goes on by a millisecond each time it is asked. */
export function ticking(start = Date.UTC(2026, 10, 23)): () => Date {
  let now = start;
  return () => new Date(now++);
}

export interface Made {
  log: AuditLog;
  problems: string[];
}

export async function openLog(
  dir: string,
  options: Partial<AuditOptions> & { now?: () => Date; sign?: Identity | undefined } = {},
): Promise<Made> {
  const problems: string[] = [];
  const deps = {
    now: options.now ?? ticking(),
    onProblem: (problem: string) => problems.push(problem),
    onRecovered: () => problems.push('recovered'),
  };
  const log = await AuditLog.open(dir, deps, { ...OPTIONS, ...options });
  if (!('sign' in options) || options.sign !== undefined) await log.signWith(options.sign ?? vm, VM);
  return { log, problems };
}

/** A log with `count` events, one after the other, closed in order. */
export async function makeLog(dir: string, count: number, sign: Identity = vm): Promise<void> {
  const { log } = await openLog(dir, { sign });
  const all = Array.from({ length: count }, (_, i) =>
    log.record({ who: 'root', what: 'drive.open', target: `drv${i}`, result: 'ok' }),
  );
  await Promise.all(all);
  await log.close();
}

export const pathOf = (dir: string): string => join(dir, 'audit.log');

/** Lines with their LF. */
export const readLines = (path: string): string[] => readFileSync(path, 'latin1').match(/[^\n]*\n|[^\n]+$/g) ?? [];

export const writeLines = (path: string, lines: readonly string[]): void =>
  writeFileSync(path, lines.join(''), 'latin1');

export const recordsOf = (path: string): AuditRecord[] =>
  readLines(path).flatMap((line) => parseRecord(line.trimEnd()) ?? []);

export async function verify(
  paths: string | readonly string[],
  options: Partial<VerifierOptions> = {},
): Promise<Fault | Report> {
  const all = typeof paths === 'string' ? [paths] : paths;
  return (await verifyFiles(all, { key: exactly(vm.public.ed25519), ...options })).result;
}

export async function proven(
  paths: string | readonly string[],
  options: Partial<VerifierOptions> = {},
): Promise<Report> {
  const result = await verify(paths, options);
  if (isFault(result)) throw new Error(`${result.file}:${result.line}: ${result.problem}: ${result.message}`);
  return result;
}
