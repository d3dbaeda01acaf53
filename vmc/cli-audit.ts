/** `vmc audit …`: reading and proving the log of this VM, or on any machine the files of another one. */
import { readFile, stat } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { lineHash } from '../shared/audit/chain.ts';
import { describeRecords, describeReport, faultError, reportJson } from '../shared/audit/describe.ts';
import { type ExpectedKey, exactly, parseExpectedKey } from '../shared/audit/expected-key.ts';
import { encodeRecord, isCheckpoint, parseRecord } from '../shared/audit/record.ts';
import type { Head } from '../shared/audit/verifier.ts';
import { isFault, verifyFiles } from '../shared/audit/verify-files.ts';
import { utf8 } from '../shared/bytes.ts';
import { answer } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import { listAll } from './audit/log-files.ts';
import { followLog, readTail } from './audit/read-tail.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { loadConfig } from './config.ts';
import { readIdentity } from './state/identity-file.ts';

interface VerifyOptions extends CommonOptions {
  key?: string;
  expectSeq?: number;
  expectHash?: string;
  expect?: string;
}

export function addAuditCommands(program: Command, deps: CliDeps): void {
  const audit = program.command('audit').description('who did what in this VM, when, and how it ended');

  withCommon(audit.command('verify [files...]').description('prove a log whole, or name the first bad record'))
    .option('--key <key>', "the VM's public key: SHA256:…, base64, or @FILE (default: this VM's)")
    .option('--expect-seq <n>', 'a record that was seen before must still be there …', wholeNumber)
    .option('--expect-hash <hex>', '… and have this hash')
    .option('--expect <file>', 'as both, from a file that holds a checkpoint seen before')
    .addHelpText(
      'after',
      '\nFILES are all files of one log, in any order, or its folder; without any it is the log of this VM.\nNeeds no network and no vmc: any machine will do.\n\nExample:\n  vmc audit verify audit.*.log audit.log --key SHA256:Jl3…',
    )
    .action(async (files: string[], options: VerifyOptions) => {
      const key = await expectedKey(files, options);
      const seen = await expectedHead(options);
      const { result, verifier } = await verifyFiles(await filesOf(files, options.config), { key, seen });
      if (isFault(result)) {
        if (options.json) deps.stdout.write(`${JSON.stringify({ ok: false, fault: result })}\n`);
        throw faultError(result, verifier.signed?.seq);
      }
      answer(deps, options.json, reportJson(result), () => describeReport(result));
    });

  withCommon(audit.command('tail').description('the last records; --json gives them as they are stored'))
    .option('-n, --lines <n>', 'how many', wholeNumber, 20)
    .option('-f, --follow', 'go on as records are written, until Ctrl-C')
    .action(async ({ config, json, lines, follow }: CommonOptions & { lines: number; follow?: true }) => {
      const { stateDir } = await loadConfig(config);
      const show = (records: Parameters<typeof describeRecords>[0]) => {
        for (const line of json ? records.map(encodeRecord) : describeRecords(records)) deps.stdout.write(`${line}\n`);
      };
      const { records, position } = await readTail(stateDir, Math.min(lines, MAX_TAIL));
      show(records);
      if (follow === true) await followLog(stateDir, position, show, new AbortController().signal);
    });
}

const MAX_TAIL = 10_000;

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1.');
  return Number(text);
}

async function filesOf(files: readonly string[], config: string): Promise<string[]> {
  const wanted = files.length === 0 ? [(await loadConfig(config)).stateDir] : files;
  const all = await Promise.all(
    wanted.map(async (path) => ((await stat(path).catch(() => undefined))?.isDirectory() ? listAll(path) : [path])),
  );
  if (all.flat().length === 0) throw new VmcError('not-found', 'There is no audit log there.');
  return all.flat();
}

async function expectedKey(files: readonly string[], { key, config }: VerifyOptions): Promise<ExpectedKey> {
  if (key !== undefined) return parseExpectedKey(key.startsWith('@') ? await readFileOf(key.slice(1)) : key);
  if (files.length > 0)
    throw new VmcError(
      'bad-request',
      'Whose log should it be?',
      "--key SHA256:… as on the VM's console, or its public key.",
    );
  const identity = await readIdentity((await loadConfig(config)).stateDir);
  if (identity === undefined) throw new VmcError('wrong-state', 'This VM has no key yet, so nothing is signed.');
  return exactly(identity.public.ed25519);
}

async function expectedHead({ expectSeq, expectHash, expect }: VerifyOptions): Promise<Head | undefined> {
  if (expect !== undefined) {
    const line = (await readFileOf(expect)).trimEnd();
    const record = parseRecord(line);
    if (record === undefined || !isCheckpoint(record))
      throw new VmcError('bad-request', `${expect} holds no checkpoint of an audit log.`);
    return { seq: record.seq, hash: lineHash(utf8(line)) };
  }
  if (expectSeq === undefined && expectHash === undefined) return undefined;
  if (expectSeq === undefined || expectHash === undefined || !/^[0-9a-f]{64}$/.test(expectHash))
    throw new VmcError('bad-request', '--expect-seq and --expect-hash (64 hex digits) belong together.');
  return { seq: expectSeq, hash: expectHash };
}

async function readFileOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new VmcError('not-found', `${path} cannot be read.`, undefined, { cause });
  }
}
