/** `vmc doctor` (requirement C17): one screen that says what is wrong and what to do. Changes nothing. */
import { lstat, statfs } from 'node:fs/promises';
import { CHECKPOINT_EVERY, isCheckpoint } from '../../shared/audit/record.ts';
import type { Bootstrap } from '../../shared/bootstrap.ts';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import { printable } from '../../shared/run.ts';
import { readTail } from '../audit/read-tail.ts';
import { hasReserve } from '../audit/reserve.ts';
import { type Config, loadConfig } from '../config.ts';
import { loadedRules } from '../firewall/firewall.ts';
import { readStoredBootstrap } from '../known-vm.ts';
import { describeOwner, findPortOwner, VMC_SOCKET } from '../port22/port-owner.ts';
import { readSelf } from '../state/first-start.ts';
import { readBootstrap } from '../state/read-bootstrap.ts';
import { readRelayAccess } from '../state/relay-access.ts';
import { askBackend } from './ask-backend.ts';

export interface Finding {
  check: string;
  state: 'ok' | 'warn' | 'bad';
  /** What was found. */
  found: string;
  /** What to do about it. */
  todo?: string | undefined;
}

type Result = Omit<Finding, 'check'>;

const ok = (found: string): Result => ({ state: 'ok', found });
const bad = (found: string, todo?: string): Result => ({ state: 'bad', found, todo });
const warn = (found: string, todo?: string): Result => ({ state: 'warn', found, todo });

export async function examine(configPath: string, credentialPath: string | undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  const check = async (name: string, look: () => Promise<Result>): Promise<void> => {
    findings.push({ check: name, ...(await look().catch(asFinding)) });
  };
  let config: Config | undefined;
  await check('configuration', async () => {
    config = await loadConfig(configPath);
    return ok(configPath);
  });
  if (config === undefined) return findings;
  const { stateDir, tunnel, audit } = config;
  await check('state folder', () => checkStateFolder(stateDir));
  await check('disk space', () => checkDisk(stateDir));
  await check('audit log', () => checkAudit(stateDir, audit.failClosed));
  let bootstrap: Bootstrap | undefined;
  await check('bootstrap', async () => {
    bootstrap = (credentialPath && (await readBootstrap(credentialPath))) || (await readStoredBootstrap(stateDir));
    return ok(`VM ${bootstrap.vm.name} (${bootstrap.vm.id})`);
  });
  await check('owner', () => checkOwner(stateDir, bootstrap));
  await check('people', () => checkPeople(stateDir));
  await check(`port ${tunnel.port}`, () => checkPort(tunnel.port));
  await check('firewall', () => checkFirewall(tunnel.port));
  if (bootstrap !== undefined) {
    const { backend, vm } = bootstrap;
    await check('enrolled', async () =>
      (await readRelayAccess(stateDir, vm.id, backend.pin)) !== undefined
        ? ok('the backend knows this VM')
        : bad('the backend has not been told who this VM is', 'journalctl -u vmc says what it answers'),
    );
    const answers: Date[] = [];
    await check('backend', async () => {
      const { date } = await askBackend(backend);
      if (date !== undefined) answers.push(date);
      return ok(`${backend.url} answers, with the pinned key`);
    });
    for (const date of answers) await check('clock', async () => judgeSkew(date, new Date()));
  }
  return findings;
}

export function describeFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .flatMap(({ check, state, found, todo }) => [
      `${state.padEnd(4)}  ${check.padEnd(width)}  ${printable(found)}`,
      ...(todo === undefined ? [] : [`${' '.repeat(width + 8)}→ ${printable(todo)}`]),
    ])
    .join('\n');
}

function asFinding(error: unknown): Result {
  return error instanceof VmcError ? bad(error.message, error.hint) : bad(errorMessage(error));
}

async function checkStateFolder(path: string): Promise<Result> {
  const found = await lstat(path);
  if (!found.isDirectory()) return bad(`${path} is not a folder`, 'Move it away and restart vmc');
  if (found.uid !== 0) return bad(`${path} belongs to user ${found.uid}`, `chown root: ${path}`);
  const mode = (found.mode & 0o777).toString(8);
  return mode === '700' ? ok(`${path}, for root only`) : bad(`${path} has mode ${mode}`, `chmod 700 ${path}`);
}

const MiB = 1024 * 1024;

async function checkDisk(path: string): Promise<Result> {
  const { bavail, bsize } = await statfs(path);
  const free = Math.floor((bavail * bsize) / MiB);
  const text = `${free} MiB free at ${path}`;
  if (free < 16) return bad(text, 'Delete what is not needed: nothing can be logged soon');
  return free < 256 ? warn(text, 'Delete what is not needed') : ok(text);
}

/** Seen from beside the daemon: its room, and whether what it wrote is signed. */
async function checkAudit(stateDir: string, failClosed: boolean): Promise<Result> {
  const { records } = await readTail(stateDir, 2 * CHECKPOINT_EVERY);
  const last = records.at(-1);
  if (last === undefined) return bad('there is none', 'vmc begins it at its first start');
  const signed = records.findLast(isCheckpoint);
  const mode = failClosed ? '; what cannot be recorded is refused (failClosed)' : '';
  const text = `${last.seq} records, signed up to ${signed?.seq ?? 'none of the last'} (${signed?.at ?? 'unknown'})${mode}`;
  if (!(await hasReserve(stateDir)))
    return bad(`${text}; the room kept for a full disk is used up`, 'Make room: soon nothing can be recorded');
  const gap = records.findLast(({ what }) => what === 'audit.gap');
  if (signed === undefined) return warn(text, 'vmc audit verify; journalctl -u vmc');
  return gap === undefined ? ok(text) : warn(`${text}; records were lost before record ${gap.seq}`, 'vmc audit tail');
}

async function checkOwner(stateDir: string, bootstrap: Bootstrap | undefined): Promise<Result> {
  const known = (await readSelf(stateDir))?.ownership;
  if (known === undefined) return bad('no owner has been learned', 'vmc learns it at its first start');
  const { fingerprint } = await import('../../shared/identity/fingerprint.ts');
  const text = fingerprint(known.owner.ed25519);
  if (bootstrap !== undefined && fingerprint(bootstrap.owner.ed25519) !== text)
    return bad(
      `this VM belongs to ${text}, the bootstrap names ${fingerprint(bootstrap.owner.ed25519)}`,
      'Nobody can replace the owner: give the VM its own bootstrap again',
    );
  return ok(text);
}

async function checkPeople(stateDir: string): Promise<Result> {
  const self = await readSelf(stateDir);
  if (self === undefined) return warn('nobody is known before the first start');
  const { readPeople } = await import('../people/people-file.ts');
  const { fingerprint } = await import('../../shared/identity/fingerprint.ts');
  const { identity, ownership } = self;
  const file = { stateDir, identity, vmId: ownership.vmId, owner: fingerprint(ownership.owner.ed25519) };
  const { people, version } = await readPeople(file); // if that fails, only the owner may come in: the error says why
  return ok(`the owner and ${people.length} more, version ${version}`);
}

async function checkPort(port: number): Promise<Result> {
  const owner = await findPortOwner(port);
  if (owner === undefined) return bad('nobody listens', 'systemctl start vmc');
  const text = describeOwner(owner);
  if (owner.unit === VMC_SOCKET)
    return bad(`${text} keeps it for vmc, which does not run`, 'systemctl start vmc; journalctl -u vmc says why not');
  return owner.isVmc ? ok(text) : bad(`${text} has it`, 'Is it SSH? systemctl disable --now ssh.service ssh.socket');
}

async function checkFirewall(port: number): Promise<Result> {
  const rules = await loadedRules();
  if (rules === undefined) return bad('no rules are loaded', 'systemctl restart vmc-firewall vmc');
  return rules.includes(`tcp dport ${port} accept`)
    ? ok('the rules of vmc are loaded')
    : bad('only the rules from before vmc are loaded: all is shut', 'systemctl restart vmc');
}

/** Hellos are fresh for 5 minutes. */
export function judgeSkew(theirs: Date, ours: Date): Result {
  const seconds = Math.round((ours.getTime() - theirs.getTime()) / 1000);
  const text = `${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} the backend`;
  const todo = 'Set the clock: devices more than 5 minutes apart are refused';
  if (Math.abs(seconds) >= 240) return bad(text, todo);
  return Math.abs(seconds) > 30 ? warn(text, todo) : ok(Math.abs(seconds) <= 2 ? 'as the backend has it' : text);
}
