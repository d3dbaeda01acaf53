/** A VM host of the test's own, made with the lab: a network namespace, a libvirtd in it, a blank image, a configuration. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { openLab } from '../../../../lab/leftovers.ts';
import { ADDRESSES, inNamespace } from '../../../../lab/namespaces.ts';
import { startPrivateLibvirt } from '../../../../lab/private-libvirt.ts';
import { bootstrapSchema, encodeBootstrap } from '../../../../shared/bootstrap.ts';
import { generateIdentity } from '../../../../shared/identity/identity.ts';
import { publicIdentityToJson } from '../../../../shared/identity/public-identity.ts';
import { run } from '../../../../shared/run.ts';
import { Undo } from '../../../../shared/undo.ts';

const REPOSITORY = join(import.meta.dirname, '../../../..');
const NODE_ENV = { ...process.env, NODE_OPTIONS: '' }; // tap's loader is not for what is started here

/** A relay that runs by itself. */
const RELAY_URL = `https://${ADDRESSES.backendForVmhost}:8444`;
export const BACKEND_URL = `https://${ADDRESSES.backendForVmhost}:8443`;
export const HOST_ADDRESS = ADDRESSES.vmhost;

/** Makes the smallest machine there is; `bootstrapFor` gives what FD stands for. */
export const createVmArgs = (vmId: string): string[] => [
  ...['vm', 'create', vmId, '--image', 'blank', '--bootstrap-fd', 'FD'],
  ...['--cores', '1', '--memory-mib', '256'],
];

export interface AgentResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export interface HostBox {
  namespace: string;
  folder: string;
  config: string;
  drives: string;
  isos: string;
  stateDir: string;
  /** The CLI, in the namespace. `secret` is what the descriptor FD in `args` gives. One call at a time. */
  agent(args: readonly string[], secret?: string): Promise<AgentResult>;
  /** Its answer with --json. Fails the test unless it exits with 0. */
  json(args: readonly string[], secret?: string): Promise<unknown>;
  /** Another Node program, to its end, in the namespace. */
  node(file: string, args: readonly string[], stdin?: string): Promise<AgentResult>;
  virsh(...args: string[]): Promise<string>;
  inNamespace(file: string, ...args: string[]): Promise<string>;
  /** Ends libvirtd; the machines run on. @returns what starts it again. */
  stopLibvirt(): Promise<() => Promise<void>>;
  /** A namespace of its own for another machine. @param name lower-case letters. @returns the namespace's name. */
  addNamespace(name: string): Promise<string>;
  /** Starts a program in a namespace; it is ended with the box at the latest. */
  start(namespace: string, args: readonly string[]): Promise<ChildProcess>;
  remove(): Promise<void>;
}

export interface BoxOptions {
  libvirt: boolean;
  /** The drives pool is a tmpfs of this size. */
  drivesTmpfs?: string;
  /** The drives pool is this folder, of another box. */
  drives?: string;
}

export async function makeHostBox(options: BoxOptions): Promise<HostBox> {
  const undo = new Undo();
  try {
    return await build(options, undo);
  } catch (error) {
    await undo.rollBack();
    throw error;
  }
}

async function build(options: BoxOptions, undo: Undo): Promise<HostBox> {
  const lab = await openLab();
  undo.add('lab', () => lab.remove());
  const { folder } = lab;
  const addNamespace = async (name: string): Promise<string> => {
    const namespace = `vmc-${lab.id}-${name}`;
    await lab.addNamespace(namespace);
    await ip('netns', 'add', namespace);
    await ip('-n', namespace, 'link', 'set', 'lo', 'up');
    return namespace;
  };
  const namespace = await addNamespace('vmhost');
  await ip('-n', namespace, 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'far');
  await ip('-n', namespace, 'address', 'add', `${HOST_ADDRESS}/24`, 'dev', 'uplink');
  for (const link of ['uplink', 'far']) await ip('-n', namespace, 'link', 'set', link, 'up');

  const [images, drives, isos, stateDir] = [
    join(folder, 'images'),
    options.drives ?? join(folder, 'drives'),
    join(folder, 'isos'),
    join(folder, 'state'),
  ];
  await Promise.all([images, drives, isos].map((it) => mkdir(it, { recursive: true })));
  if (options.drivesTmpfs !== undefined) {
    // Before any process enters the namespace: later mounts do not reach those.
    const args = ['-t', 'tmpfs', '-o', `size=${options.drivesTmpfs}`, 'tmpfs', drives];
    await run({ file: 'mount', args, timeoutMs: 10_000 });
    undo.add('tmpfs', async () => void (await run({ file: 'umount', args: [drives], timeoutMs: 10_000 })));
  }
  const blank = ['create', '-q', '-f', 'qcow2', join(images, 'blank.qcow2'), '64M'];
  await run({ file: 'qemu-img', args: blank, timeoutMs: 10_000 });
  const libvirt = options.libvirt
    ? await startPrivateLibvirt(lab, namespace, undo, join(REPOSITORY, '.build/cache'))
    : undefined;
  const uri = libvirt?.uri ?? `qemu:///system?socket=${folder}/none`;
  const config = join(folder, 'host-agent.toml');
  await writeFile(config, configText(uri, stateDir, { images, drives, isos }));

  const start = async (where: string, args: readonly string[], stdio: 'ipc' | 'pipe' = 'pipe') => {
    // What tap slips into every Node process has listeners of its own for signals: a daemon would end otherwise than it does.
    const plain = ['--unset=NODE_OPTIONS', process.execPath, ...args];
    const [file, ...rest] =
      stdio === 'ipc' ? inNamespace(where, process.execPath, args) : inNamespace(where, 'env', plain);
    const first =
      stdio === 'ipc' ? (['ignore', 'inherit', 'inherit', 'ipc'] as const) : (['pipe', 'pipe', 'pipe'] as const);
    const child = spawn(file, rest, { stdio: [...first], cwd: REPOSITORY, env: NODE_ENV });
    undo.add('process', () => stop(child));
    if (child.pid !== undefined) await lab.addProcess(child.pid);
    return child;
  };
  const agent = resident(await start(namespace, [join(import.meta.dirname, 'resident.ts')], 'ipc'), config);
  return {
    namespace,
    folder,
    config,
    drives,
    isos,
    stateDir,
    agent,
    async json(args, secret) {
      const result = await agent([...args, '--json'], secret);
      if (result.exitCode !== 0) throw new Error(`host-agent ${args.join(' ')}: ${result.exitCode} ${result.stderr}`);
      return JSON.parse(result.stdout);
    },
    async node(file, args, stdin) {
      const child = await start(namespace, [file, ...args]);
      const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
      child.stdin?.end(stdin ?? '');
      if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return { exitCode: await exit, stdout, stderr };
    },
    virsh: async (...args) =>
      (await run({ file: 'virsh', args: ['-q', '-c', uri, ...args], timeoutMs: 60_000 })).stdout,
    async inNamespace(command, ...args) {
      const [file, ...rest] = inNamespace(namespace, command, args);
      return (await run({ file, args: rest, timeoutMs: 20_000 })).stdout;
    },
    async stopLibvirt() {
      if (libvirt === undefined) throw new Error('this box has no libvirt');
      return libvirt.stopDaemon();
    },
    addNamespace,
    start: (where, args) => start(where, args),
    async remove() {
      const [failure] = await undo.rollBack();
      if (failure !== undefined) throw failure.error;
    },
  };
}

export async function ip(...args: string[]): Promise<void> {
  await run({ file: 'ip', args, timeoutMs: 10_000 });
}

const configText = (
  uri: string,
  stateDir: string,
  pools: Record<'images' | 'drives' | 'isos', string>,
) => `address = "${HOST_ADDRESS}"
stateDir = "${stateDir}"
libvirtUri = "${uri}"
accelerator = "tcg"
[backend]
url = "${BACKEND_URL}"
pin = "${'ab'.repeat(32)}"
relays = ["${RELAY_URL}"]
[pools]
images = "${pools.images}"
drives = "${pools.drives}"
isos = "${pools.isos}"
reserveMiB = 1
`;

/** Runs CLI commands in a process that stays (resident.ts). */
function resident(child: ChildProcess, config: string): HostBox['agent'] {
  return (args, secret) =>
    new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the resident ended during host-agent ${args.join(' ')}`));
      child.once('exit', ended);
      child.once('message', (result) => {
        child.off('exit', ended);
        resolve(result as AgentResult);
      });
      child.send({ args: ['--config', config, ...args], secret });
    });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await ended;
  clearTimeout(timer);
}

export function bootstrapFor(vmId: string, url = BACKEND_URL): string {
  return encodeBootstrap(
    bootstrapSchema.parse({
      version: 1,
      vm: { id: vmId, name: 'test' },
      backend: { url, pin: 'ab'.repeat(32) },
      owner: publicIdentityToJson(generateIdentity().public),
      enrolToken: Buffer.alloc(32, 7).toString('base64'),
    }),
  );
}
