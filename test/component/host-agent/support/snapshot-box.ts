/** A host box with a snapshots pool, running VMs without a system, and a model of what a drive must hold at each moment. */
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { MARKER } from '../../../../host-agent/drives/pool-marker.ts';
import { driveFileSchema } from '../../../../shared/agent-api/index.ts';
import { type Snapshot, snapshotSchema } from '../../../../shared/agent-api/snapshots.ts';
import { run } from '../../../../shared/run.ts';
import { type AgentResult, bootstrapFor, type HostBox, makeHostBox } from './host-box.ts';

export interface SnapshotBox extends HostBox {
  /** Its configuration, with the pool. */
  pool: string;
  snapshot(...args: string[]): Promise<Snapshot>;
  refusal(...args: string[]): Promise<{ code: string; message: string; hint?: string | undefined }>;
  /** The agent's function in a process of its own, which ends (kill), fails or is cancelled at a fault point. */
  until(how: 'kill' | 'fail' | 'cancel' | 'power-cut', point: string, ...args: string[]): Promise<AgentResult>;
  vm(vmId: string): Promise<void>;
  drive(driveId: string, format?: string, size?: string): Promise<Model>;
  /** As a crash of QEMU, or of the host's power. */
  killQemu(vmId: string): Promise<void>;
  /** What is left of work that was cut short: checkpoints, bitmaps, files, notes. */
  leftovers(vmId: string, driveId: string): Promise<Record<string, string[]>>;
}

/** A drive and, in a raw file, what it must hold. */
export interface Model {
  driveId: string;
  file: string;
  /** qemu-io's words, such as 'write -P 7 1M 64k': to the drive where it is, and to the model. */
  io(vmId: string | undefined, ...commands: string[]): Promise<void>;
  /** Keeps what it holds now. @returns a file to compare with. */
  remember(): Promise<string>;
  grow(size: string): Promise<void>;
}

const execute = (file: string, ...args: string[]) => run({ file, args, timeoutMs: 60_000 });
const errorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
});

export async function makeSnapshotBox(extra: (folder: string) => string = () => ''): Promise<SnapshotBox> {
  const box = await makeHostBox({ libvirt: true });
  const pool = join(box.folder, 'snapshots');
  await mkdir(pool);
  const config = join(box.folder, 'snapshots.toml');
  const text = (await readFile(box.config, 'utf8')).replace('[pools]', `[pools]\nsnapshots = "${pool}"`);
  await writeFile(config, text + extra(box.folder));
  const agent: HostBox['agent'] = (args, secret) => box.agent(['--config', config, ...args], secret);
  const json: HostBox['json'] = (args, secret) => box.json(['--config', config, ...args], secret);
  let memories = 0;

  /** qemu-io as the guest would: through the disk of the running machine. The guest's own disk is scsi0-0-0-0. */
  const ioLive = async (vmId: string, driveId: string, command: string) => {
    const xml = await box.virsh('dumpxml', vmId);
    const disk = xml.split('<disk ').find((it) => it.includes(`<serial>${driveId}</serial>`));
    const target = /target='(\d+)' unit=/.exec(disk ?? '')?.[1];
    const said = await box.virsh('qemu-monitor-command', vmId, '--hmp', `qemu-io -d scsi0-0-${target}-0 "${command}"`);
    if (/error|fail|conflict/i.test(said)) throw new Error(`${command}: ${said}`);
  };

  return {
    ...box,
    config,
    pool,
    agent,
    json,
    async snapshot(...args) {
      return snapshotSchema.parse(await json(['snapshot', 'create', ...args]));
    },
    async refusal(...args) {
      const { stderr } = await agent([...args, '--json']);
      return errorSchema.parse(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).error;
    },
    until: (how, point, ...args) =>
      box.node('test/component/host-agent/support/snapshot-until.ts', [config, how, point, ...args]),
    async vm(vmId) {
      const args = ['--image', 'blank', '--bootstrap-fd', 'FD', '--cores', '1', '--memory-mib', '256'];
      await json(['vm', 'create', vmId, ...args], bootstrapFor(vmId));
    },
    async drive(driveId, format = 'qcow2', size = '64MiB') {
      driveFileSchema.parse(await json(['drive', 'create', size, '--id', driveId, '--format', format]));
      const file = join(box.drives, `${driveId}.${format}`);
      const model = join(box.folder, `${driveId}.model`);
      await execute('qemu-img', 'create', '-q', '-f', 'raw', model, size.replace('iB', ''));
      return {
        driveId,
        file,
        async io(vmId, ...commands) {
          for (const command of commands) {
            if (vmId === undefined) await execute('qemu-io', '-f', format, '-c', command, file);
            else await ioLive(vmId, driveId, command);
            // Raw files give back what is discarded as zeroes, as qcow2 does.
            await execute('qemu-io', '-d', 'unmap', '-f', 'raw', '-c', command, model);
          }
        },
        async remember() {
          const copy = join(box.folder, `memory-${memories++}.raw`);
          await copyFile(model, copy);
          return copy;
        },
        grow: async (to) => void (await execute('qemu-img', 'resize', '-q', '-f', 'raw', model, to)),
      };
    },
    async killQemu(vmId) {
      const pid = Number(await readFile(join(box.folder, 'libvirt/run/qemu', `${vmId}.pid`), 'utf8'));
      process.kill(pid, 'SIGKILL');
      while ((await box.virsh('domstate', vmId)).trim() !== 'shut off')
        await box.virsh('event', '--domain', vmId, '--event', 'lifecycle', '--timeout', '1').catch(() => {});
    },
    async leftovers(vmId, driveId) {
      const list = async (folder: string) =>
        (await readdir(folder).catch(() => [])).filter((it) => it !== MARKER).sort();
      const nodes = await box
        .virsh('qemu-monitor-command', vmId, '{"execute":"query-named-block-nodes"}')
        .catch(() => '');
      const info = await execute('qemu-img', 'info', '-U', '--output=json', join(box.drives, `${driveId}.qcow2`));
      const bitmaps = nodes.includes(driveId) ? nodes : info.stdout;
      return {
        checkpoints: (await box.virsh('checkpoint-list', vmId, '--name')).split('\n').filter((it) => it.trim() !== ''),
        bitmaps: [...new Set([...bitmaps.matchAll(/"name": ?"(snap-[0-9a-f]+)"/g)].map((it) => it[1] ?? ''))].sort(),
        files: await list(join(pool, driveId)),
        pool: (await list(pool)).filter((it) => !it.startsWith('drv')),
        notes: await list(join(box.stateDir, 'snapshots-under-way')),
        temporary: (await list(box.drives)).filter((it) => it.startsWith('.')),
        sockets: await list(join(box.stateDir, 'tmp')),
      };
    },
  };
}

/** Restores into a new drive and compares every byte. */
export async function sameWhenRestored(
  box: SnapshotBox,
  snapshotId: string,
  model: string,
  newId: string,
  format = 'qcow2',
): Promise<boolean> {
  await box.json(['snapshot', 'restore', snapshotId, '--id', newId, '--format', format]);
  const file = join(box.drives, `${newId}.${format}`);
  const { exitCode } = await run({
    file: 'qemu-img',
    args: ['compare', '-q', '-f', 'raw', '-F', format, model, file],
    okExitCodes: [0, 1],
    timeoutMs: 60_000,
  });
  await box.json(['drive', 'delete', newId, '--confirm', newId]);
  return exitCode === 0;
}
