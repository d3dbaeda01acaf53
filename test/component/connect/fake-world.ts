/** The real backend in process, a fake host agent with fake VMs, and people's folders: connect is what is tested. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startBackend } from '../../../backend/backend.ts';
import { configSchema } from '../../../backend/config.ts';
import { runConnect } from '../../../connect/cli.ts';
import {
  agentMethods,
  type DriveFile,
  HOST_REPORT,
  type HostReport,
  type VmStatus,
} from '../../../shared/agent-api/index.ts';
import type { IsoFile } from '../../../shared/agent-api/isos.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { sealIdentity } from '../../../shared/identity/sealed.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { type FakeIo, fakeIo } from '../../unit/connect/fake-io.ts';
import { FakeVm } from './fake-vm.ts';

export const PASSPHRASE = 'correct horse battery staple';
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
  const world: World = {
    url: backend.url,
    pin: backend.pin,
    firstCode: firstLine.split(' ').at(-1) ?? '',
    vms: new Map(),
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
      ends.push(await linkFakeAgent(world, hostId, enrolToken));
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
    const io = fakeIo({ folder, secrets: { 3: PASSPHRASE, 4: 'wrong', 5: 'hello marker' }, signal });
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

/** What the fake host has in its pool. */
export const ISOS: IsoFile[] = [
  { isoId: 'iso00000000000000a1', name: 'tools', sizeBytes: 2 ** 20 },
  { isoId: 'iso00000000000000b2', name: 'debian-12.5', sizeBytes: 2 ** 30 },
];

/** Fake: answers what the backend asks of a host from memory. The real agent is tested elsewhere. */
async function linkFakeAgent(world: World, hostId: string, token: string): Promise<() => Promise<void>> {
  const client = new BackendClient({ url: world.url, pin: world.pin });
  const identity = generateIdentity();
  await client.enrolHost(identity, hostId, new Uint8Array(Buffer.from(token, 'base64')), '127.0.0.1');
  const socket = await client.openHostLink(identity, hostId);
  const transport = webSocketTransport(socket);
  socket.resume();

  const states = new Map<string, VmStatus>();
  const files = new Map<string, DriveFile>();
  const status = (vmId: string): VmStatus => {
    const found = states.get(vmId);
    if (found === undefined) throw new VmcError('not-found', 'no such domain');
    return found;
  };
  const file = (driveId: string): DriveFile => {
    const found = files.get(driveId);
    if (found === undefined) throw new VmcError('not-found', 'no such drive');
    return found;
  };
  const fakeVmOf = (vmId: string) => [...world.vms.values()].find((it) => it.bootstrap.vm.id === vmId);
  const noSnapshots = async () => {
    throw new VmcError('wrong-state', 'no snapshots in this world');
  };
  const peer = new RpcPeer(transport, {
    handle: dispatcher(
      agentMethods,
      {
        vmCreate: async ({ bootstrap }) => {
          const vm = new FakeVm(bootstrap, world.tunnelPorts);
          const { id: vmId, name } = bootstrap.vm;
          world.vms.set(name, vm);
          const made: VmStatus = {
            vmId,
            state: 'running',
            address: '10.0.0.2',
            hostPort: await vm.start(),
            attached: [],
          };
          states.set(vmId, made);
          setTimeout(() => void vm.park().catch(() => {}), 50); // it boots
          return made;
        },
        vmStart: async ({ vmId }) => Object.assign(status(vmId), { state: 'running' as const }),
        vmShutdown: async ({ vmId }) => Object.assign(status(vmId), { state: 'off' as const }),
        vmDelete: async () => ({}),
        vmStatus: async ({ vmId }) => status(vmId),
        driveCreate: async ({ driveId, format, sizeBytes }) => {
          files.set(driveId, { driveId, format, sizeBytes, allocatedBytes: 8192 });
          return file(driveId);
        },
        driveInfo: async ({ driveId }) => file(driveId),
        driveDelete: async ({ driveId }) => {
          files.delete(driveId);
          return {};
        },
        driveAttach: async ({ driveId, vmId, readOnly }) => {
          status(vmId).attached.push({ driveId, readOnly });
          return status(vmId);
        },
        driveDetach: async ({ driveId, vmId }) => {
          const vm = status(vmId);
          vm.attached = vm.attached.filter((one) => one.driveId !== driveId);
          return vm;
        },
        driveResize: async ({ driveId, sizeBytes }) => Object.assign(file(driveId), { sizeBytes }),
        driveCheck: async () => ({ state: 'good' as const, leakedClusters: 0, corruptions: 0, repaired: false }),
        driveConvert: async ({ driveId, format }) => Object.assign(file(driveId), { format }),
        isoList: async () => ({ isos: ISOS }),
        isoAttach: async ({ isoId, vmId }) => {
          if (!ISOS.some((it) => it.isoId === isoId)) throw new VmcError('not-found', 'no such ISO image');
          const vm = status(vmId);
          fakeVmOf(vmId)?.isos.set(isoId, { isoId, state: 'attached', sizeBytes: 1 });
          return Object.assign(vm, { isos: [...(vm.isos ?? []), isoId] });
        },
        isoEject: async ({ isoId, vmId }) => {
          const vm = status(vmId);
          if (fakeVmOf(vmId)?.isos.get(isoId)?.state === 'mounted') throw new VmcError('busy', 'it is still mounted');
          fakeVmOf(vmId)?.isos.delete(isoId);
          return Object.assign(vm, { isos: vm.isos?.filter((it) => it !== isoId) });
        },
        snapshotCreate: noSnapshots,
        snapshotList: async () => ({ snapshots: [] }),
        snapshotVerify: noSnapshots,
        snapshotRestore: noSnapshots,
        snapshotDelete: noSnapshots,
      },
      () => {},
      {},
    ),
  });
  const report: HostReport = {
    version: '0',
    libvirt: { ok: true },
    utilisation: {
      cores: 2,
      load1: 0,
      memoryBytes: 2 ** 34,
      memoryFreeBytes: 2 ** 33,
      pools: [{ name: 'drives', sizeBytes: 2 ** 40, freeBytes: 2 ** 39 }],
    },
    vms: [],
  };
  await peer.notify(HOST_REPORT, report);
  return async () => {
    for (const vm of world.vms.values()) await vm.close();
    await peer.close();
    client.close();
  };
}
