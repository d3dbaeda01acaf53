/**
 * Does with snapshots what the agent does, until a fault point: there it ends itself as by kill -9, fails, is cancelled, or
 * the VM is switched off. With its VM named, a backup job that runs there is first made to stand still. `snapshot-until.ts CONFIG HOW POINT create|restore|delete ARGUMENTS [VM]`
 */
import { loadConfig } from '../../../../host-agent/config.ts';
import { makeHost } from '../../../../host-agent/host.ts';
import { createSnapshot } from '../../../../host-agent/snapshots/create.ts';
import { deleteSnapshot } from '../../../../host-agent/snapshots/delete.ts';
import { restoreSnapshot } from '../../../../host-agent/snapshots/restore.ts';
import { snapshotTargetSchema } from '../../../../shared/agent-api/snapshots.ts';

const [config = '', how, point, verb, ...args] = process.argv.slice(2);
const vmId = args[3];
const cancel = new AbortController();
const host = makeHost(await loadConfig(config), {
  step: async (name) => {
    if (name !== point) return;
    if (vmId !== undefined) await pauseJob(vmId);
    process.stdout.write('reached\n');
    if (how === 'kill') {
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => {});
    }
    if (how === 'fail') throw new Error('as asked');
    if (how === 'cancel') cancel.abort();
    if (how === 'power-cut') await host.virsh.run(['destroy', vmId ?? '']);
  },
});
const watching = { signal: cancel.signal };
const [first = '', second = '', third = 'pool'] = args;
switch (verb) {
  case 'create': {
    const target = snapshotTargetSchema.parse(third);
    await createSnapshot(host, { snapshotId: second, driveId: first, kind: 'auto', target }, watching);
    break;
  }
  case 'restore':
    await restoreSnapshot(host, { snapshotId: first, newDriveId: second, format: 'qcow2' }, watching);
    break;
  case 'delete':
    await deleteSnapshot(host, first);
    break;
  default:
    throw new Error(`what is ${verb}?`);
}

async function pauseJob(domain: string): Promise<void> {
  const ask = (command: unknown) => host.virsh.run(['qemu-monitor-command', domain, JSON.stringify(command)]);
  const id = /"id": ?"(backup-[^"]+)"/.exec(await ask({ execute: 'query-jobs' }))?.[1];
  if (id === undefined) throw new Error('no job is under way');
  await ask({ execute: 'job-pause', arguments: { id } });
}
