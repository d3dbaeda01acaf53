/** The real backend and the real vmc as processes of their own, with a person, a VM and a host agent that only pretends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startBackend } from '../../../backend/backend.ts';
import { configSchema } from '../../../backend/config.ts';
import { initTicketKey } from '../../../backend/tickets/ticket-key.ts';
import { COMPILE_CACHE } from '../../../lab/programs.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import type { BackendAddress } from '../../../shared/backend-client/http.ts';
import { type Bootstrap, encodeBootstrap } from '../../../shared/bootstrap.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { FakeAgent } from '../backend/fake-agent.ts';
import { until } from '../backend/fixture.ts';
import { RelayProcess } from '../backend/relay-process.ts';

const main = (product: string) => new URL(`../../../${product}/main.ts`, import.meta.url).pathname;
const quiet = { info: () => {}, warn: () => {}, error: () => {} };

/** A process of ours, and what it said. */
export class Program {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  output = '';

  constructor(file: string, args: readonly string[], env: Record<string, string>) {
    this.child = spawn(file, args, {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.child, 'exit');
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.output = (this.output + chunk.toString()).slice(-1_000_000);
        this.child.emit('said');
      });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async said(pattern: RegExp): Promise<void> {
    const signal = AbortSignal.timeout(30_000);
    while (!pattern.test(this.output))
      await once(this.child, 'said', { signal }).catch((error: unknown) => {
        throw new Error(`it did not say ${pattern}, only:\n${this.output}`, { cause: error });
      });
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal);
    await this.exited;
  }
}

/** Open descriptors, and resident memory in MiB. */
export function usage(pid: number): { descriptors: number; residentMiB: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024,
  };
}

export interface RealSystem {
  address: BackendAddress;
  owner: Identity;
  vmId: string;
  bootstrap: Bootstrap;
  /** Everything vmc has recorded. */
  audit(): Record<string, unknown>[];
  /** @param relay that pairs in its place. */
  startBackend(relay?: RelayProcess): Promise<Program>;
  /** A relay that runs by itself, on loopback. */
  startRelay(): Promise<RelayProcess>;
  /** @param prefix what to run it by, e.g. nsenter. */
  startVmc(prefix?: readonly string[]): Program;
}

/** @param host the address that backend and vmc meet at. */
export async function makeSystem(t: Test, host = '127.0.0.1'): Promise<RealSystem> {
  const dir = t.testdir();
  const folders = { backend: join(dir, 'backend'), vmc: join(dir, 'vmc'), credentials: join(dir, 'credentials') };
  await mkdir(folders.credentials);
  const { address, owner, bootstrap } = await settle(folders, host);

  const backendConfig = join(dir, 'backend.toml');
  const configure = (relay: RelayProcess | undefined) =>
    writeFile(
      backendConfig,
      [
        `publicUrl = "${address.url}"`,
        `stateDir = "${folders.backend}"`,
        `[listen]\naddress = "${host}"\nport = ${new URL(address.url).port}`,
        `[endpoints]\naddress = "${host}"\nfirstPort = 36000\nlastPort = 36010`,
        relay === undefined
          ? ''
          : `[relay]\nembedded = false\nothers = [{ url = "${relay.url}", pin = "${relay.pin}" }]\n`,
      ].join('\n'),
    );
  const vmcConfig = join(dir, 'vmc.toml');
  // Nobody gets an account: it would be one of this machine.
  await writeFile(vmcConfig, `stateDir = "${folders.vmc}"\n[sftp]\nenabled = false\n`);

  const cache = { NODE_COMPILE_CACHE: COMPILE_CACHE };
  const started = (program: Program) => {
    t.teardown(() => program.kill());
    return program;
  };
  return {
    address,
    owner,
    vmId: bootstrap.vm.id,
    bootstrap,
    audit: () =>
      readFileSync(join(folders.vmc, 'audit.log'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    startBackend: async (relay) => {
      await configure(relay);
      return started(new Program(process.execPath, [main('backend'), 'daemon', '--config', backendConfig], cache));
    },
    startRelay: async () => {
      const { public: key } = await initTicketKey(folders.backend);
      const relay = new RelayProcess(join(dir, 'relay'), toBase64(key));
      t.teardown(() => relay.stop('SIGKILL'));
      return relay.start();
    },
    startVmc: (prefix = []) => {
      const [file = '', ...args] = [...prefix, process.execPath, main('vmc'), 'daemon', '--config', vmcConfig];
      return started(new Program(file, args, { ...cache, CREDENTIALS_DIRECTORY: folders.credentials }));
    },
  };
}

/** An account, a VM and its bootstrap, made by a backend in this process that then ends; the state stays. */
async function settle(folders: { backend: string; credentials: string }, host: string) {
  const announced: string[] = [];
  const config = configSchema.parse({
    publicUrl: `https://${host}:1`,
    stateDir: folders.backend,
    listen: { address: host, port: 0 },
    endpoints: { address: host, firstPort: 36000, lastPort: 36010 },
  });
  const backend = await startBackend(config, { log: quiet, announce: (line) => announced.push(line) });
  const address = { url: backend.url, pin: backend.pin };
  const client = new BackendClient(address);
  const agent = new FakeAgent();
  try {
    const owner = generateIdentity();
    await client.claim(owner, 'ann', announced.join().split(' --code ')[1] ?? '');
    await client.signIn(owner);
    const { hostId, enrolToken } = await client.call(routes.hostAdd, { params: {}, body: { name: 'vmhost' } });
    await client.enrolHost(agent.identity, hostId, new Uint8Array(Buffer.from(enrolToken, 'base64')), host);
    await agent.link(client, hostId);
    await until(async () => {
      const { hosts } = await client.call(routes.hostList, { params: {}, body: {} });
      return hosts.some((it) => it.state === 'active' && it.report !== undefined);
    });
    await client.call(routes.vmCreate, { params: {}, body: { name: 'lab', image: 'debian-12' } });
    await until(() => agent.specs.length > 0);
    const given = agent.specs[0]?.bootstrap;
    if (given === undefined) throw new Error('no bootstrap');
    const bootstrap = { ...given, backend: address };
    await writeFile(join(folders.credentials, 'vmc.bootstrap'), encodeBootstrap(bootstrap));
    return { address, owner, bootstrap };
  } finally {
    agent.unlink();
    client.close();
    await backend.close();
  }
}
