/** A whole site on one machine: a user's device, a backend and a VM host, each in its namespace, each running the real programs. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../shared/errors.ts';
import { makeFolder } from '../shared/files.ts';
import { run } from '../shared/run.ts';
import type { Undo } from '../shared/undo.ts';
import { findAccelerator } from './accelerator.ts';
import type { Lab } from './leftovers.ts';
import { ADDRESSES, createNetwork, inNamespace, type Network } from './namespaces.ts';
import { type PrivateLibvirt, startPrivateLibvirt } from './private-libvirt.ts';
import { type LabProcess, startProcess } from './process.ts';
import { COMPILE_CACHE, program, ROOT } from './programs.ts';
import { mountSmallFileSystem } from './small-filesystem.ts';
import { UserDevice } from './user-device.ts';

const READY_MS = 60_000;
const BACKEND_PORT = 8443;

/** The folders of a site; all of them are removed with the lab. */
export class SiteFolders {
  readonly images: string;
  readonly drives: string;
  readonly snapshots: string;
  readonly isos: string;
  readonly logs: string;
  readonly backend: string;
  readonly agent: string;
  readonly user: string;
  /** What the relay received, after its TLS. */
  readonly capture: string;

  constructor(root: string) {
    this.images = join(root, 'images');
    this.drives = join(root, 'drives');
    this.snapshots = join(root, 'snapshots');
    this.isos = join(root, 'isos');
    this.logs = join(root, 'logs');
    this.backend = join(root, 'backend');
    this.agent = join(root, 'agent');
    this.user = join(root, 'user');
    this.capture = join(root, 'relay.capture');
  }
}

export interface SiteOptions {
  /** The drives pool is a file system of this size, which can be filled. */
  drivesMiB?: number;
  /** More of host-agent.toml. Asked when the site's network is there. */
  agentSettings?: (site: Site, undo: Undo) => Promise<string>;
}

export class Site {
  readonly lab: Lab;
  readonly #options: SiteOptions;
  readonly folders: SiteFolders;
  readonly backendUrl = `https://${ADDRESSES.backendForVmhost}:${BACKEND_PORT}`;
  /** What the user's device dials: the same server, by its other address. */
  readonly backendUrlForUser = `https://${ADDRESSES.backendForUser}:${BACKEND_PORT}`;
  #network: Network | undefined;
  #libvirt: PrivateLibvirt | undefined;
  #pin: string | undefined;
  readonly #people = new Map<string, UserDevice>();

  constructor(lab: Lab, options: SiteOptions = {}) {
    this.lab = lab;
    this.#options = options;
    this.folders = new SiteFolders(lab.folder);
  }

  get network(): Network {
    return started(this.#network, 'The network');
  }

  get libvirt(): PrivateLibvirt {
    return started(this.#libvirt, 'libvirt');
  }

  get pin(): string {
    return started(this.#pin, 'The backend');
  }

  /** The person of that name on the user's device. */
  person(name: string): UserDevice {
    const known = this.#people.get(name);
    if (known !== undefined) return known;
    const [file, ...rest] = inNamespace(this.network.user, 'env', [
      '--ignore-environment',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'LC_ALL=C',
      `NODE_COMPILE_CACHE=${COMPILE_CACHE}`,
    ]);
    const device = new UserDevice(name, [file, ...rest], join(this.folders.user, name));
    this.#people.set(name, device);
    return device;
  }

  /** Three namespaces, and a libvirtd in the VM host's. */
  async startNetwork(undo: Undo): Promise<void> {
    const { images, drives, snapshots, isos } = this.folders;
    for (const folder of [images, drives, snapshots, isos]) await makeFolder(folder, 0o711);
    const { drivesMiB } = this.#options;
    if (drivesMiB !== undefined) await mountSmallFileSystem(drives, drivesMiB, 0o711, undo);
    for (const folder of [this.folders.logs, this.folders.backend, this.folders.agent, this.folders.user])
      await makeFolder(folder, 0o700);
    this.#network = await createNetwork(this.lab, undo);
    this.#libvirt = await startPrivateLibvirt(this.lab, this.#network.vmhost, undo, join(ROOT, '.build', 'cache'));
  }

  /** @returns the one-time code of the first account. */
  async startBackend(undo: Undo): Promise<{ code: string; daemon: LabProcess }> {
    const config = join(this.folders.backend, 'backend.toml');
    await writeFile(
      config,
      [
        `publicUrl = "${this.backendUrl}"`,
        `stateDir = "${join(this.folders.backend, 'state')}"`,
        `[listen]`,
        `port = ${BACKEND_PORT}`,
        `[relay]`,
        `captureFile = "${this.folders.capture}"`,
        '',
      ].join('\n'),
    );
    const [backend, main] = program('backend');
    const daemon = await this.startDaemon(
      'backend',
      inNamespace(this.network.backend, backend, [main, 'daemon', '--config', config]),
      undo,
    );
    const code = (await daemon.waitForLine(/First account: connect claim --code (\S+)/, READY_MS))[1] as string;
    this.#pin = (await daemon.waitForLine(/pin\W+([0-9a-f]{64})/, READY_MS))[1] as string;
    return { code, daemon };
  }

  /** Registers a host as `admin`, enrols its agent and starts it. */
  async startHostAgent(admin: UserDevice, undo: Undo): Promise<LabProcess> {
    const { hostId, enrolToken } = await admin.connect<{ hostId: string; enrolToken: string }>([
      'host',
      'add',
      'server1',
    ]);
    const config = join(this.folders.agent, 'host-agent.toml');
    const accelerator = await findAccelerator(join(ROOT, '.build', 'cache'));
    await writeFile(
      config,
      [
        `address = "${ADDRESSES.vmhost}"`,
        `stateDir = "${join(this.folders.agent, 'state')}"`,
        `libvirtUri = "${this.libvirt.uri}"`,
        `accelerator = "${accelerator}"`,
        `[backend]`,
        `url = "${this.backendUrl}"`,
        `pin = "${this.pin}"`,
        `[pools]`,
        `images = "${this.folders.images}"`,
        `drives = "${this.folders.drives}"`,
        `snapshots = "${this.folders.snapshots}"`,
        `isos = "${this.folders.isos}"`,
        (await this.#options.agentSettings?.(this, undo)) ?? '',
      ].join('\n'),
    );
    await this.hostAgent(['enrol', '--host-id', hostId, '--token-fd', '0'], enrolToken);
    const daemon = await this.startDaemon(
      'host-agent',
      [...this.libvirt.enter, ...program('host-agent'), 'daemon', '--config', config],
      undo,
    );
    await daemon.waitForLine(/"event":"linked"/, READY_MS);
    return daemon;
  }

  /** Runs `virsh …` on the site's own libvirt. @returns its stdout. */
  async virsh(...args: string[]): Promise<string> {
    const argv = ['--quiet', '--connect', this.libvirt.uri, ...args];
    return (await run({ file: 'virsh', args: argv, timeoutMs: 30_000 })).stdout;
  }

  /** Runs `host-agent …` on the VM host, as its administrator would. @returns its stdout. */
  async hostAgent(args: readonly string[], stdin = ''): Promise<string> {
    const [file, ...rest] = this.libvirt.enter;
    const config = ['--config', join(this.folders.agent, 'host-agent.toml')];
    return (
      await run({ file, args: [...rest, ...program('host-agent'), ...args, ...config], stdin, timeoutMs: 120_000 })
    ).stdout;
  }

  /** The last words of every VM's console, for messages. */
  async consoleTail(): Promise<string> {
    const folder = join(this.folders.agent, 'state', 'console');
    const files = await readdir(folder).catch(() => []);
    const tails = await Promise.all(
      files.map(async (name) => (await readFile(join(folder, name), 'utf8')).slice(-1500)),
    );
    return tails.join('\n');
  }

  async startDaemon(name: string, argv: readonly [string, ...string[]], undo: Undo): Promise<LabProcess> {
    const daemon = await startProcess({ lab: this.lab, name, argv, logFile: join(this.folders.logs, `${name}.log`) });
    undo.add(name, () => daemon.stop());
    return daemon;
  }
}

function started<T>(part: T | undefined, what: string): T {
  if (part === undefined) throw new VmcError('wrong-state', `${what} of the site has not been started.`);
  return part;
}
