/** vmc's SFTP with real accounts (in-own-etc.ts), and real clients that use it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { run } from '../../../shared/run.ts';
import { Accounts } from '../../../vmc/accounts/accounts.ts';
import { AuditLog } from '../../../vmc/audit/audit-log.ts';
import { People } from '../../../vmc/people/people.ts';
import { memberOf, nameOf } from '../../../vmc/people/people-state.ts';
import type { AllowanceLimits } from '../../../vmc/requests/allowance.ts';
import { openSshPrivateKey } from '../../../vmc/sftp/openssh-private-key.ts';
import { Sftp } from '../../../vmc/sftp/sftp.ts';
import { freshAccounts } from './in-own-etc.ts';

export const PORT = 2022;
export const VM_ID = 'vm-0123456789ab';
/** For everything a client is waited for: the machine may be busy. */
export const PATIENCE_MS = 280_000;

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a client to its end. */
export async function runClient(file: string, args: readonly string[], stdin = '', env = {}): Promise<Ran> {
  const child = spawn(file, args, { env: { ...process.env, ...env }, timeout: PATIENCE_MS, killSignal: 'SIGKILL' });
  return ran(child, stdin);
}

export async function ran(child: ChildProcessWithoutNullStreams, stdin = ''): Promise<Ran> {
  child.stdin.on('error', () => {}).end(stdin);
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, stdout, stderr] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/** The identity's key as a file for OpenSSH. */
export const keyFile = ({ secret, public: { ed25519: key } }: Identity): string =>
  openSshPrivateKey({ seed: secret.ed25519, key }, new Uint8Array(4), 'test');

export interface SiteOptions {
  umask?: string;
  maxSessionsPerPerson?: number;
  preAuthMs?: number;
  begin?: AllowanceLimits;
  /** vmc's state is on a disk of so many MiB, and what cannot be recorded is not done. */
  failClosedOnMiB?: number;
}

export async function startSite(t: Test, options: SiteOptions = {}) {
  await freshAccounts();
  const stateDir = await mkdtemp('/var/tmp/vmc-sftp-');
  const files = await mkdtemp('/var/tmp/vmc-sftp-files-');
  t.teardown(() => Promise.all([stateDir, files].map((path) => rm(path, { recursive: true, force: true }))));
  const [identity, owner] = [generateIdentity(), generateIdentity()];
  const ownerPrint = fingerprint(owner.public.ed25519);
  const now = () => new Date();
  const { failClosedOnMiB: small } = options;
  if (small !== undefined) {
    await run({ file: 'mount', args: ['-t', 'tmpfs', '-o', `size=${small}m`, 'tmpfs', stateDir], timeoutMs: 10_000 });
    t.teardown(() => run({ file: 'umount', args: [stateDir], timeoutMs: 10_000 }));
  }
  const onProblem = (problem: string) => void (small === undefined ? t.fail(problem) : t.comment(problem));
  const audit = await AuditLog.open(stateDir, { now, onProblem }, { ...LOG_OPTIONS, failClosed: small !== undefined });
  await audit.signWith(identity, VM_ID);
  const people = await People.open({
    ...{ stateDir, identity, vmId: VM_ID, owner: owner.public.ed25519, clock: Date.now, audit },
    onProblem: (problem) => t.fail(problem),
  });
  const makeAccounts = () =>
    new Accounts({
      ...{ stateDir, homes: '/home', shell: '/bin/bash' },
      mayUseDrives: (person) => memberOf(people.state, person)?.rights.has('drives') === true,
    });
  let accounts = makeAccounts();
  const problems: unknown[] = [];
  const { umask = '0007', maxSessionsPerPerson = 16, preAuthMs, begin } = options;
  const start = async () => {
    const sftp = new Sftp({
      ...{ stateDir, accounts, audit, port: PORT, limits: { umask, maxSessions: 64, maxSessionsPerPerson } },
      ...(preAuthMs === undefined ? {} : { preAuthMs }),
      ...(begin === undefined ? {} : { begin }),
      rightsOf: (person) => people.rightsOf(person),
      nameOf: (person) => nameOf(people.state, person),
      isOwner: (person) => fingerprint(person) === ownerPrint,
      onProblem: (error) => problems.push(error),
    });
    await sftp.listen();
    return sftp;
  };
  let sftp = await start();
  people.onShrunk((who) => void sftp.cut(who));
  people.onShrunk(() => void accounts.rightsChanged());
  t.teardown(async () => {
    await sftp.close();
    await audit.close();
  });

  /** Lets somebody in, and gives them a device: a key file, and what OpenSSH is to be told. */
  const person = async (name: string, rights: Right[]) => {
    const theirs = name === 'owner' ? owner : generateIdentity();
    const who = fingerprint(theirs.public.ed25519);
    if (name !== 'owner')
      await people.change(ownerPrint, { kind: 'add', ed25519: theirs.public.ed25519, name, role: 'user', rights });
    const key = join(files, `${who.replaceAll('/', '_')}.key`);
    await writeFile(key, keyFile(theirs), { mode: 0o600 });
    return { name, who, key, identity: theirs };
  };
  type Device = Awaited<ReturnType<typeof person>>;
  const rightsNow = ({ who }: Device) => memberOf(people.state, who)?.rights ?? new Set<Right>();
  const accessOf = (device: Device) => sftp.access(device.who, rightsNow(device));
  /** Asks for access, and @returns what to tell ssh and sftp; and who they are there. */
  const deviceOf = async (device: Device) => {
    const access = await accessOf(device);
    if (access === undefined) throw new Error(`${device.name} has no SFTP`);
    const knownHosts = join(files, 'known_hosts');
    await writeFile(knownHosts, `[127.0.0.1]:${PORT} ${access.hostKey}\n`);
    const words = [
      ...['-F', 'none', '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none'],
      ...[
        '-o',
        'StrictHostKeyChecking=yes',
        '-o',
        'GlobalKnownHostsFile=none',
        '-o',
        `UserKnownHostsFile=${knownHosts}`,
      ],
      ...['-i', device.key, '-o', 'LogLevel=ERROR'],
    ];
    return { access, words, target: `${access.user}@127.0.0.1`, knownHosts };
  };
  /** OpenSSH's sftp with a batch of commands. */
  const batch = async (device: Device, commands: readonly string[], options: readonly string[] = []): Promise<Ran> => {
    const { words, target } = await deviceOf(device);
    return runClient('sftp', [...words, ...options, '-P', `${PORT}`, '-b', '-', target], `${commands.join('\n')}\n`);
  };
  const ssh = async (device: Device, options: readonly string[], command: readonly string[] = []): Promise<Ran> => {
    const { words, target } = await deviceOf(device);
    return runClient('ssh', [...words, ...options, '-p', `${PORT}`, target, ...command]);
  };
  const log = () =>
    readFileSync(join(stateDir, 'audit.log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { who?: string; what: string; target?: string; result?: string });
  /** What was recorded of files, as `what result target`. */
  const recorded = (who: string) =>
    log()
      .filter((record) => record.who === who && /^(file|sftp)\./.test(record.what))
      .map(({ what, target, result }) => `${what} ${result} ${target}`);
  return {
    ...{ stateDir, files, people, person, accessOf, deviceOf, batch, ssh, log, recorded, problems, ownerPrint },
    get sftp() {
      return sftp;
    },
    get accounts() {
      return accounts;
    },
    async restart() {
      await sftp.close();
      accounts = makeAccounts();
      sftp = await start();
    },
  };
}

const LOG_OPTIONS = { failClosed: false, maxMegabytes: 64, keepFiles: 0 };
export type Site = Awaited<ReturnType<typeof startSite>>;
export type Device = Awaited<ReturnType<Site['person']>>;

/** A session in which nothing happens: OpenSSH's ssh with the subsystem, that has been answered. Its end is seen at once. */
export async function idleSftp(site: Site, device: Device) {
  const { words, target } = await site.deviceOf(device);
  const child = spawn('ssh', [...words, '-p', `${PORT}`, '-s', target, 'sftp']);
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdin.on('error', () => {}).write(SSH_FXP_INIT);
  await once(child.stdout, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) });
  return { child, exited };
}

/** draft-ietf-secsh-filexfer-02, 4: version 3. */
export const SSH_FXP_INIT = Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]);
