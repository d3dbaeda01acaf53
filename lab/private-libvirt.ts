/**
 * A libvirtd of our own inside the VM host's namespace. It has its own mount namespace, in which folders of ours lie over
 * libvirt's: the machine's own libvirt, if it has one, is neither read nor touched.
 */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VmcError } from '../shared/errors.ts';
import { makeFolder, readIfThere } from '../shared/files.ts';
import { type CommandResult, run } from '../shared/run.ts';
import type { Undo } from '../shared/undo.ts';
import { endProcess, type Lab, processesIn } from './leftovers.ts';
import { inNamespace } from './namespaces.ts';
import { type LabProcess, startProcess } from './process.ts';

export interface PrivateLibvirt {
  /** For virsh, from any namespace of this machine. */
  uri: string;
  /** argv prefix that runs a command where libvirtd runs: same network, same mounts. */
  enter: readonly [string, ...string[]];
  /** Ends libvirtd, as for an upgrade; the machines run on. @returns what starts it again, and waits until it answers. */
  stopDaemon(): Promise<() => Promise<void>>;
  /** Destroys its domains and networks, then ends everything in its namespace. Doing it twice is fine. */
  stop(): Promise<void>;
}

const QEMU_CONF = `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
`;

const LIBVIRTD_CONF = `auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
log_outputs = "2:stderr"
`;

// Only this run's processes see this bus: being able to reach its socket is the permission.
const DBUS_CONF = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;

/** Our folder → what it lies over, in the private mount namespace. */
const MOUNTS = {
  etc: '/etc/libvirt',
  run: '/run/libvirt',
  state: '/var/lib/libvirt',
  cache: '/var/cache/libvirt',
  log: '/var/log/libvirt',
  dbus: '/run/dbus',
} as const;

const READY_MS = 30_000;

/**
 * @param cacheDir keeps what libvirtd learns of QEMU (8 s of probing) for later runs; without it, it lasts for this run.
 * @throws VmcError `libvirt-down` with libvirtd's last words when it does not answer within 30 s.
 */
export async function startPrivateLibvirt(
  lab: Lab,
  namespace: string,
  undo: Undo,
  cacheDir?: string,
): Promise<PrivateLibvirt> {
  const folder = join(lab.folder, 'libvirt');
  const inFolder = (name: string): string => join(folder, name);
  await makeFolder(folder, 0o755);
  for (const name of Object.keys(MOUNTS)) await makeFolder(inFolder(name), 0o755);
  const capabilities = cacheDir === undefined ? undefined : join(cacheDir, 'libvirt-capabilities');
  if (capabilities !== undefined) await makeFolder(capabilities, 0o755);
  await writeFile(join(inFolder('etc'), 'qemu.conf'), QEMU_CONF);
  await writeFile(join(inFolder('etc'), 'libvirtd.conf'), LIBVIRTD_CONF);
  await writeFile(inFolder('dbus.conf'), DBUS_CONF);

  const uri = `qemu:///system?socket=${join(inFolder('run'), 'libvirt-sock')}`;
  const processes: LabProcess[] = [];
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= stopAll(uri, namespace, processes);
    return stopped;
  };
  undo.add('private libvirt', stop);

  // It only holds the mount namespace open, so that everyone can enter it.
  const holder = await startProcess({
    lab,
    name: 'mount namespace',
    argv: inNamespace(namespace, 'unshare', ['--mount', '--propagation', 'private', 'sleep', 'infinity']),
    logFile: inFolder('holder.log'),
  });
  processes.push(holder);
  const enter = ['nsenter', '--target', String(holder.pid), '--mount', '--net', '--'] as const;
  await untilOwnMounts(holder.pid);
  for (const [name, target] of Object.entries(MOUNTS)) {
    await makeFolder(target, 0o755); // a machine where libvirt or dbus never ran has no such folder yet
    const source = name === 'cache' && capabilities !== undefined ? capabilities : inFolder(name);
    await inside(enter, 'mount', ['--bind', source, target]);
  }
  const start = async (name: string, ...command: [string, ...string[]]): Promise<LabProcess> => {
    const started = await startProcess({ lab, name, argv: [...enter, ...command], logFile: inFolder(`${name}.log`) });
    processes.push(started);
    return started;
  };
  await start('dbus-daemon', 'dbus-daemon', `--config-file=${inFolder('dbus.conf')}`, '--nofork', '--nopidfile');
  const startDaemon = async (): Promise<void> => {
    const daemon = await start('libvirtd', 'libvirtd', '--pid-file', '/run/libvirt/libvirtd.pid');
    await untilAnswers(uri, daemon, inFolder('libvirtd.log'));
  };
  await startDaemon();
  const stopDaemon = async () => {
    await processes.pop()?.stop();
    return startDaemon;
  };
  return { uri, enter, stopDaemon, stop };
}

async function inside(enter: readonly [string, ...string[]], file: string, args: readonly string[]): Promise<void> {
  const [nsenter, ...rest] = enter;
  await run({ file: nsenter, args: [...rest, file, ...args], timeoutMs: 10_000 });
}

/** The holder is `ip`, then `unshare`, then `sleep`: mounting before `unshare` is done would mount in the wrong place. */
async function untilOwnMounts(pid: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    if ((await readIfThere(`/proc/${pid}/comm`))?.trim() === 'sleep') return;
    if (performance.now() > deadline) throw new VmcError('timeout', 'The private mount namespace does not come up');
    await delay(20);
  }
}

async function untilAnswers(uri: string, daemon: LabProcess, log: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  const socket = uri.slice(uri.indexOf('=') + 1);
  while (daemon.running && performance.now() < deadline) {
    if (
      (await stat(socket).catch(() => undefined)) !== undefined &&
      (await virsh(uri, ['version'], [0, 1])).exitCode === 0
    )
      return;
    await delay(50);
  }
  throw new VmcError('libvirt-down', 'The private libvirtd does not answer', `Its log: ${log}`);
}

function virsh(uri: string, args: readonly string[], okExitCodes: readonly number[] = [0]): Promise<CommandResult> {
  return run({ file: 'virsh', args: ['--quiet', '--connect', uri, ...args], okExitCodes, timeoutMs: 30_000 });
}

async function stopAll(uri: string, namespace: string, processes: LabProcess[]): Promise<void> {
  const libvirtd = processes.at(-1);
  if (libvirtd?.running === true) {
    await forEachOf(uri, ['list', '--name'], ['destroy']);
    await forEachOf(uri, ['net-list', '--name'], ['net-destroy']);
  }
  const holder = processes.shift();
  for (const process of processes.reverse()) await process.stop();
  // What libvirt leaves behind on purpose: dnsmasq, qemu. It lives in our namespace, and only what we started does.
  const rest = (await processesIn(namespace)).filter(({ pid }) => pid !== holder?.pid && !isOurs(pid));
  await Promise.all(rest.map((id) => endProcess(id, 3000)));
  await holder?.stop();
}

const isOurs = (pid: number): boolean => pid === process.pid;

/** One by one, going on after a failure: the domain may have ended by itself, and the rest is ended with the namespace. */
async function forEachOf(uri: string, list: readonly string[], command: readonly string[]): Promise<void> {
  const { stdout } = await virsh(uri, list, [0, 1]);
  for (const name of stdout.split('\n').map((line) => line.trim())) {
    if (name !== '') await virsh(uri, [...command, name], [0, 1]).catch(() => undefined);
  }
}
