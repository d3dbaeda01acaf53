/** The real backend in process, a fake host agent with fake VMs, and people's folders: connect is what is tested. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startBackend } from '../../../backend/backend.ts';
import { configSchema } from '../../../backend/config.ts';
import { runConnect } from '../../../connect/cli.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { sealIdentity } from '../../../shared/identity/sealed.ts';
import { type FakeIo, fakeIo } from '../../unit/connect/fake-io.ts';
import { FakeHost } from './fake-host.ts';
import type { FakeVm } from './fake-vm.ts';

export const PASSPHRASE = 'correct horse battery staple';
/** By descriptor. */
const SECRETS = {
  3: PASSPHRASE,
  4: 'wrong',
  5: 'hello marker',
  6: 'twelve words for a drive',
  7: Buffer.alloc(32, 7).toString('base64'),
};
const CHEAP = { n: 2 ** 14, r: 8, p: 1 };

export interface Result {
  code: number;
  io: FakeIo;
  /** stdout as JSON. */
  json<T>(): T;
}

export interface Person {
  folder: string;
  /** Runs one command of connect with the person's folder and passphrase. */
  run(...argv: string[]): Promise<Result>;
  /** The same, and fails the test unless it ends with 0. */
  ok(...argv: string[]): Promise<Result>;
  /** A command that stays: `io` shows what it prints. */
  start(signal: AbortSignal, ...argv: string[]): { io: FakeIo; ended: Promise<number> };
}

export interface World {
  url: string;
  pin: string;
  firstCode: string;
  vms: Map<string, FakeVm>;
  host: FakeHost;
  /** Ports that the tunnels of VMs made from now on may reach. */
  tunnelPorts: { from: number; to: number }[];
  /** With a fresh identity, sealed cheaply. */
  person(): Promise<Person>;
  /** The first account, bound and signed up. */
  admin(name: string): Promise<Person>;
  /** Registers and links a host. */
  addHost(admin: Person): Promise<void>;
  log: string[];
}

export async function startWorld(t: Test): Promise<World> {
  const root = await mkdtemp(join(tmpdir(), 'vmc-connect-'));
  const log: string[] = [];
  const write = (event: string, fields?: Record<string, unknown>) =>
    void log.push(JSON.stringify({ event, ...fields }));
  let firstLine = '';
  const config = configSchema.parse({
    publicUrl: 'https://127.0.0.1:1',
    stateDir: join(root, 'backend'),
    listen: { address: '127.0.0.1', port: 0 },
    endpoints: { address: '127.0.0.1', firstPort: 46000, lastPort: 46100 },
    // Everybody of this world has one address, and signs in with every command.
    limits: { unauthenticatedPerMinute: 100_000, refusedPerMinute: 100_000 },
  });
  const backend = await startBackend(config, {
    log: { info: write, warn: write, error: write },
    announce: (line) => {
      firstLine = line;
    },
  });
  const ends: (() => Promise<void>)[] = [];
  t.teardown(async () => {
    for (const end of ends.reverse()) await end();
    await backend.close();
    await rm(root, { recursive: true });
  });

  let people = 0;
  const person = async (): Promise<Person> => {
    const folder = join(root, `person-${++people}`);
    const one = makePerson(t, folder);
    await one.run('fingerprint'); // makes the folder
    const sealed = await sealIdentity(generateIdentity(), new TextEncoder().encode(PASSPHRASE), CHEAP);
    await writeFile(join(folder, 'identity.json'), sealed, { mode: 0o600 });
    return one;
  };
  const vms = new Map<string, FakeVm>();
  const world: World = {
    url: backend.url,
    pin: backend.pin,
    firstCode: firstLine.split(' ').at(-1) ?? '',
    vms,
    host: new FakeHost({ url: backend.url, pin: backend.pin, vms, tunnelPorts: () => world.tunnelPorts }),
    tunnelPorts: [],
    person,
    async admin(name) {
      const one = await person();
      await one.ok('claim', '--backend', world.url, '--pin', world.pin, '--name', name, '--code', world.firstCode);
      return one;
    },
    async addHost(admin) {
      const { hostId, enrolToken } = (await admin.ok('host', 'add', 'rack1', '--json')).json<{
        hostId: string;
        enrolToken: string;
      }>();
      ends.push(async () => {
        for (const vm of world.vms.values()) await vm.close();
        await world.host.close();
      });
      await world.host.link(hostId, enrolToken);
      for (let tries = 0; tries < 100; tries++) {
        const { hosts } = (await admin.ok('host', 'list', '--json')).json<{ hosts: { report?: object }[] }>();
        if (hosts[0]?.report !== undefined) return;
      }
      t.fail('the host did not link');
    },
    log,
  };
  return world;
}

function makePerson(t: Test, folder: string): Person {
  const start = (signal: AbortSignal, ...argv: string[]) => {
    const io = fakeIo({ folder, secrets: SECRETS, signal });
    const chosen = argv.includes('--passphrase-fd') ? [] : ['--passphrase-fd', '3'];
    return { io, ended: runConnect([...chosen, ...argv], io) };
  };
  const run = async (...argv: string[]): Promise<Result> => {
    const { io, ended } = start(new AbortController().signal, ...argv);
    const code = await ended;
    return { code, io, json: <T>() => JSON.parse(io.output()) as T };
  };
  return {
    folder,
    start,
    run,
    async ok(...argv) {
      const result = await run(...argv);
      if (result.code !== 0) t.fail(`connect ${argv.join(' ')}: ${result.code} ${result.io.errors()}`);
      return result;
    },
  };
}
