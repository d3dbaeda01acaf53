/** The main job, step by step, on a site of its own. */
import { createHash, randomBytes } from 'node:crypto';
import { ensureDebianPackages } from '../lab/setup.ts';
import type { Site } from '../lab/site.ts';
import type { UserDevice } from '../lab/user-device.ts';
import { humanBytes } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import type { Undo } from '../shared/undo.ts';
import { buildDemoImage } from './demo-image.ts';
import type { DemoReport } from './report.ts';
import { plantEverywhere, searchEverywhere } from './search-site.ts';
import type { Steps } from './steps.ts';
import { VmProgram } from './vm-program-client.ts';

const PERSON = 'ada';
const VM = 'lab';
const DRIVE = 'data';
const MOUNT = `/mnt/${DRIVE}`;
const VM_PORT = 8080;
const DRIVE_GIB = 2;
const WRITE_MIB = 400;
/** Under emulation a boot takes about half a minute; a busy machine may need several times that. */
const BOOT_SECONDS = 300;

interface VmInfo {
  fingerprint: string;
  ownerFingerprint: string;
  secondsToPark: number;
  secondsOfNode: number;
  rssBytes: number;
}

export interface DemoContext {
  site: Site;
  steps: Steps;
  report: DemoReport;
  undo: Undo;
  signal: AbortSignal;
  /** Leave the VM running, its drive open. Nothing that is left hangs on this process. */
  keep: boolean;
}

/** Fills `report` as it goes. @throws whatever went wrong, after which the caller undoes everything. */
export async function runDemo(context: DemoContext): Promise<void> {
  const { site, steps, report, undo, signal, keep } = context;

  await steps.run(
    'Debian packages',
    () => ensureDebianPackages(),
    (installed) => (installed.length === 0 ? 'all there' : `installed ${installed.join(' ')}`),
  );
  const image = await steps.run(
    'vmc package and VM image',
    () => buildDemoImage(site.folders.images),
    (built) => built.name,
  );
  await steps.run('three namespaces, libvirt in the third', () => site.startNetwork(undo));
  const user = site.person(PERSON);
  const connect = <T>(...args: string[]) => user.connect<T>(args, { signal, timeoutMs: 400_000 });

  const { code } = await steps.run(
    'backend: rest, relay, endpoints',
    () => site.startBackend(undo),
    () => site.backendUrl,
  );
  await steps.run(
    'user: identity, first account, sign-in by signature',
    async () => {
      await connect('keygen');
      await user.connect(
        ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', PERSON, '--code-fd', '4'],
        { descriptors: { 4: Buffer.from(code) }, signal },
      );
      return connect<{ name: string; fingerprint: string }>('whoami');
    },
    ({ name, fingerprint }) => `${name} ${fingerprint}`,
  );
  await steps.run('host agent: enrolled, linked, reporting', () => site.startHostAgent(user, undo));

  const drive = await steps.run(
    `a blank ${DRIVE_GIB} GiB qcow2 drive`,
    () => connect<{ driveId: string }>('drive', 'create', DRIVE, '--size', `${DRIVE_GIB}GiB`, '--format', 'qcow2'),
    ({ driveId }) => driveId,
  );
  const { vmId } = await steps.run(
    'VM: overlay, domain, address, forward; started',
    () => connect<{ vmId: string }>('vm', 'create', VM, '--image', image.name, '--cores', '2', '--memory', '1GiB'),
    (made) => made.vmId,
  );
  await steps.run('VM: booted, enrolled, firewall loaded, socket parked', () => waitReady(context, user));
  const before = await steps.run(
    'channel: signed hellos, X25519 with ML-KEM-768',
    () => connect<VmInfo>('vm', 'info', VM),
    (info) => `VM ${info.fingerprint}`,
  );

  await steps.run('drive: attached live', () => connect('drive', 'attach', DRIVE, VM));
  await steps.run('drive: LUKS2 and ext4, key made on the device', () => connect('drive', 'format', DRIVE));
  await steps.run(
    'drive: opened and mounted',
    () => connect('drive', 'open', DRIVE),
    () => MOUNT,
  );
  const marker = randomBytes(24).toString('hex');
  await user.connect(['vm', 'ping', VM, '--count', '1', '--payload-fd', '4'], {
    descriptors: { 4: Buffer.from(marker) },
    signal,
  });
  const driveKey = await user.connectRaw(['drive', 'key', 'export', DRIVE], { signal });

  const tunnel = await steps.run(
    'tunnel: endpoint, host port, TLS on port 22, CONNECT',
    () => user.tunnel(VM, VM_PORT, undo, signal),
    ({ port }) => `127.0.0.1:${port} → ${VM}:${VM_PORT}`,
  );
  const vm = new VmProgram(user, tunnel);
  const kept = Buffer.concat([Buffer.from(marker), randomBytes(1024 * 1024)]);
  await vm.request('PUT', `/file?path=${MOUNT}/kept`, kept);

  const usage = async () => (await connect<{ allocatedBytes: number }>('drive', 'usage', DRIVE)).allocatedBytes;
  const allocatedBefore = await usage();
  const allocatedWritten = await steps.run(
    `${WRITE_MIB} MiB of random data written in the VM`,
    async () => {
      await vm.request('POST', `/random?path=${MOUNT}/random&mib=${WRITE_MIB}`);
      return usage();
    },
    (bytes) => `on the host ${humanBytes(allocatedBefore)} → ${humanBytes(bytes)}`,
  );
  const allocatedTrimmed = await steps.run(
    'deleted and trimmed',
    async () => {
      await vm.request('DELETE', `/file?path=${MOUNT}/random`);
      return (await connect<{ allocatedAfter: number }>('drive', 'trim', DRIVE)).allocatedAfter;
    },
    (bytes) => `on the host ${humanBytes(allocatedWritten)} → ${humanBytes(bytes)}`,
  );
  report.drive = { allocatedBefore, allocatedWritten, allocatedTrimmed };

  report.tunnel = await steps.run(
    '64 MiB through the tunnel',
    () => throughTunnel(vm),
    ({ bytes, seconds }) => `${(bytes / seconds / 1e6).toFixed(0)} MB/s, SHA-256 compared`,
  );

  report.secrets = await steps.run(
    'secrets looked for where nobody may see them',
    async () => {
      const planted = await plantEverywhere(site, user, vmId, vm, undo);
      return searchEverywhere(site, vm, planted, [
        { name: 'the drive key', bytes: driveKey },
        { name: 'the marker', bytes: Buffer.from(marker) },
      ]);
    },
    ({ places, bytes, found }) => `${places} places, ${humanBytes(bytes)}; found ${found}`,
  );

  const after = await connect<VmInfo>('vm', 'info', VM);
  report.vm = {
    secondsToPark: before.secondsToPark,
    secondsOfNode: before.secondsOfNode,
    rssBytes: before.rssBytes,
    rssBytesAfterUse: after.rssBytes,
  };

  await tunnel.close();
  report.reboot = await steps.run(
    'VM shut down and started again',
    async () => {
      await connect('vm', 'shutdown', VM, '--wait-seconds', '120');
      await connect('vm', 'start', VM);
      await waitReady(context, user);
      const after = await connect<VmInfo>('vm', 'info', VM);
      const sameIdentity =
        after.fingerprint === before.fingerprint && after.ownerFingerprint === before.ownerFingerprint;
      await connect('drive', 'open', DRIVE);
      const again = await user.tunnel(VM, VM_PORT, undo, signal);
      const file = await new VmProgram(user, again).request('GET', `/file?path=${MOUNT}/kept`);
      await again.close();
      return {
        sameIdentity,
        sameData: file.equals(kept),
        secondsToPark: after.secondsToPark,
        secondsOfNode: after.secondsOfNode,
      };
    },
    ({ sameIdentity, sameData }) =>
      `${sameIdentity ? 'same' : 'OTHER'} identity and owner, drive opened with the same key, ${sameData ? 'same' : 'OTHER'} data`,
  );
  if (keep) return;

  await steps.run('drive detached and deleted, VM deleted', async () => {
    await connect('drive', 'detach', DRIVE);
    await connect('drive', 'delete', DRIVE, '--confirm', drive.driveId);
    await connect('vm', 'shutdown', VM, '--wait-seconds', '120');
    await connect('vm', 'delete', VM, '--confirm', VM);
  });
}

/** @throws VmcError that also shows the end of the VM's console when it does not come up. */
async function waitReady({ site, signal }: DemoContext, user: UserDevice): Promise<void> {
  const words = ['vm', 'wait', VM, '--timeout', String(BOOT_SECONDS)];
  try {
    await user.connect(words, { signal, timeoutMs: (BOOT_SECONDS + 30) * 1000 });
  } catch (error) {
    if (signal.aborted || !(error instanceof VmcError)) throw error;
    throw new VmcError(error.code, `${error.message} Its console: ${await site.consoleTail()}`, error.hint);
  }
}

async function throughTunnel(vm: VmProgram): Promise<{ bytes: number; seconds: number; sha256Match: boolean }> {
  const there = JSON.parse((await vm.request('POST', '/blob')).toString()) as { sha256: string };
  const started = performance.now();
  const blob = await vm.request('GET', '/blob');
  const seconds = (performance.now() - started) / 1000;
  const here = createHash('sha256').update(blob).digest('hex');
  return { bytes: blob.length, seconds, sha256Match: blob.length === 64 * 1024 * 1024 && here === there.sha256 };
}
