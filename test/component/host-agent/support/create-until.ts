/**
 * Makes, changes or deletes as the agent does, but ends itself as by kill -9 at the step named, or fails there:
 * `create-until.ts CONFIG STEP VERB ID [kill|fail [VM]]`.
 */
import { text } from 'node:stream/consumers';
import { loadConfig } from '../../../../host-agent/config.ts';
import { convertDrive } from '../../../../host-agent/drives/convert.ts';
import { deleteDrive } from '../../../../host-agent/drives/delete.ts';
import { createDrive } from '../../../../host-agent/drives/make.ts';
import { resizeDrive } from '../../../../host-agent/drives/resize.ts';
import { makeHost } from '../../../../host-agent/host.ts';
import { attachDrive, detachDrive } from '../../../../host-agent/vms/attach.ts';
import { createVm } from '../../../../host-agent/vms/create.ts';
import { deleteVm } from '../../../../host-agent/vms/delete.ts';
import { ejectIso } from '../../../../host-agent/vms/isos.ts';
import { bootstrapSchema } from '../../../../shared/bootstrap.ts';

const [config = '', fatal, verb, id = '', how = 'kill', vmId = ''] = process.argv.slice(2);
const host = makeHost(await loadConfig(config), {
  step: async (name) => {
    if (name === fatal && how === 'fail') throw new Error('as asked');
    if (name === fatal) process.kill(process.pid, 'SIGKILL');
  },
});
switch (verb) {
  case 'vm-create': {
    const bootstrap = bootstrapSchema.parse(JSON.parse(await text(process.stdin)));
    await createVm(host, { vmId: id, image: 'blank', cores: 1, memoryMiB: 256 }, bootstrap);
    break;
  }
  case 'vm-delete':
    await deleteVm(host, id);
    break;
  case 'drive-create':
    await createDrive(host, { driveId: id, format: 'raw', sizeBytes: 16 * 1024 * 1024 });
    break;
  case 'drive-delete':
    await deleteDrive(host, id);
    break;
  case 'drive-resize':
    await resizeDrive(host, id, 32 * 1024 * 1024);
    break;
  case 'drive-convert':
    await convertDrive(host, id, 'qcow2');
    break;
  case 'drive-attach':
    await attachDrive(host, id, vmId, false);
    break;
  case 'drive-detach':
    await detachDrive(host, id, vmId);
    break;
  case 'iso-eject':
    await ejectIso(host, id, vmId);
    break;
  default:
    throw new Error(`what is ${verb}?`);
}
