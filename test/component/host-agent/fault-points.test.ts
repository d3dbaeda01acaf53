/**
 * The agent is ended as by kill -9 at each of its fault points of VMs and drives. Afterwards all is as before or as asked,
 * reconcile leaves nothing half made, and asking again succeeds.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FAULT_POINTS, type FaultPoint } from '../../../host-agent/fault-points.ts';
import { driveRecordSchema } from '../../../host-agent/state/records.ts';
import { run } from '../../../shared/run.ts';
import { bootstrapFor, createVmArgs, makeHostBox } from './support/host-box.ts';

const VM = 'vm-aaaaaaaaaaaa';
const OTHER = 'vm-bbbbbbbbbbbb';
const MIB = 1024 * 1024;
/** Of other operations: other tests walk these. */
const ELSEWHERE = /^(snapshot|iso)\./;

t.setTimeout(600_000);

t.test('H9: the agent ends at every step of every operation', async (t) => {
  const box = await makeHostBox({ libvirt: true });
  t.teardown(() => box.remove());
  await box.json(createVmArgs(OTHER), bootstrapFor(OTHER));

  /** Ends the agent at `point`. Fails the test when it was not reached. */
  const crash = async (t: Test, point: FaultPoint, verb: string, id: string, vmId = '') => {
    const script = 'test/component/host-agent/support/create-until.ts';
    const args = [box.config, point, verb, id, 'kill', vmId];
    const { exitCode, stderr } = await box.node(script, args, verb === 'vm-create' ? bootstrapFor(id) : undefined);
    t.equal(exitCode, null, `${point} was reached${stderr === '' ? '' : `: ${stderr}`}`);
  };
  const record = async (id: string) => {
    const text = await readFile(join(box.stateDir, 'drives', `${id}.json`), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : driveRecordSchema.parse(JSON.parse(text));
  };
  const files = async (id: string) => (await readdir(box.drives)).filter((name) => name.includes(id)).sort();
  /** Nothing pending, one file by the name that the record says, and nothing else of that drive. */
  const isWhole = async (t: Test, id: string) => {
    const found = await record(id);
    t.equal(found?.pending, undefined);
    t.strictSame(await files(id), found === undefined ? [] : [`${id}.${found.format}`]);
    return found;
  };
  const contentOf = async (id: string, format: 'raw' | 'qcow2') => {
    const copy = join(box.folder, 'content.raw');
    const args = ['convert', '-f', format, '-O', 'raw', join(box.drives, `${id}.${format}`), copy];
    await run({ file: 'qemu-img', args, timeoutMs: 20_000 });
    return createHash('sha256')
      .update(await readFile(copy))
      .digest('hex');
  };

  let n = 0;
  for (const point of FAULT_POINTS.filter((it) => !ELSEWHERE.test(it)))
    await t.test(point, async (t) => {
      const id = `drv${String(++n).padStart(16, '0')}`;
      const verb = point.slice(0, point.indexOf(':')).replace('.', '-');
      const make = ['drive', 'create', '16MiB', '--id', id, '--format', 'raw'];
      if (verb !== 'drive-create' && verb.startsWith('drive-')) {
        await box.json(make);
        const args = ['-f', 'raw', '-c', `write -P ${n} 1M 2M`, join(box.drives, `${id}.raw`)];
        await run({ file: 'qemu-io', args, timeoutMs: 10_000 });
      }
      switch (verb) {
        case 'vm-create':
          await crash(t, point, verb, VM);
          await box.json(['reconcile']);
          t.match(await box.json(createVmArgs(VM), bootstrapFor(VM)), { state: 'running' });
          await box.json(['vm', 'shutdown', VM, '--wait', '0', '--force']);
          await box.json(['vm', 'delete', VM]);
          break;
        case 'vm-delete':
          await box.json(createVmArgs(VM), bootstrapFor(VM));
          await box.json(['vm', 'shutdown', VM, '--wait', '0', '--force']);
          await crash(t, point, verb, VM);
          await box.json(['reconcile']);
          t.match(await box.json(['vm', 'delete', VM]), { deleted: VM });
          t.strictSame(await files(VM), []);
          t.notMatch(await box.virsh('list', '--all', '--name'), VM);
          break;
        case 'drive-create':
          await crash(t, point, verb, id);
          await box.json(['reconcile']);
          t.equal((await isWhole(t, id))?.sizeBytes, point === 'drive.create:record' ? 16 * MIB : undefined);
          t.match(await box.json(make), { driveId: id, sizeBytes: 16 * MIB });
          break;
        case 'drive-delete':
          await crash(t, point, verb, id);
          await box.json(['reconcile']);
          t.equal(await isWhole(t, id), undefined, 'what was begun with the id repeated is ended');
          break;
        case 'drive-resize': {
          await crash(t, point, verb, id);
          await box.json(['reconcile']);
          t.equal((await isWhole(t, id))?.sizeBytes, (point === 'drive.resize:file' ? 16 : 32) * MIB);
          t.match(await box.json(['drive', 'resize', id, '32MiB']), { sizeBytes: 32 * MIB });
          await run({
            file: 'qemu-io',
            args: ['-f', 'raw', '-c', `read -P ${n} 1M 2M`, join(box.drives, `${id}.raw`)],
            timeoutMs: 10_000,
          });
          break;
        }
        case 'drive-convert': {
          const before = await contentOf(id, 'raw');
          await crash(t, point, verb, id);
          const format = point === 'drive.convert:old' ? 'qcow2' : 'raw';
          t.equal((await record(id))?.format, format);
          t.equal(await contentOf(id, format), before, 'what the record names is whole');
          await box.json(['reconcile']);
          t.equal((await isWhole(t, id))?.format, format);
          t.match(await box.json(['drive', 'convert', id, '--format', 'qcow2']), { format: 'qcow2' });
          t.equal(await contentOf(id, 'qcow2'), before);
          await isWhole(t, id);
          break;
        }
        case 'drive-attach':
          await crash(t, point, verb, id, OTHER);
          await box.json(['reconcile']);
          t.match(await box.json(['drive', 'attach', id, OTHER]), { attached: [{ driveId: id }] });
          await box.json(['drive', 'detach', id, OTHER]);
          break;
        case 'drive-detach':
          await box.json(['drive', 'attach', id, OTHER]);
          await crash(t, point, verb, id, OTHER);
          await box.json(['reconcile']);
          t.match(await box.json(['drive', 'detach', id, OTHER]), { attached: [] });
          t.notMatch(await box.virsh('dumpxml', '--inactive', OTHER), id);
          break;
        default:
          t.fail(`nobody walks ${point}`);
      }
      t.strictSame(await box.json(['reconcile', '--dry-run']), [], 'nothing is left to do');
    });
});
