/**
 * Making a VM, in steps that can each be repeated: the record first, so that a crash leaves something to go by;
 * the firewall before the start, so that no VM ever runs outside it.
 */
import { join } from 'node:path';
import type { VmSpec, VmStatus } from '../../shared/agent-api/index.ts';
import { type Bootstrap, encodeBootstrap } from '../../shared/bootstrap.ts';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';
import type { Progress } from '../../shared/rpc/method.ts';
import { Undo } from '../../shared/undo.ts';
import { chooseAccelerator } from '../domains/accelerator.ts';
import { domainXml } from '../domains/domain-xml.ts';
import { type Image, readImage } from '../domains/image.ts';
import { inspectDomain } from '../domains/inventory.ts';
import { allocatedBytes, makeFile, removeFile } from '../drives/pool.ts';
import { requirePool } from '../drives/pool-marker.ts';
import { checkPoolSpace } from '../drives/pool-space.ts';
import { createOverlay, imageInfo } from '../drives/qemu-img.ts';
import { enforceFirewall } from '../firewall/wanted.ts';
import { consoleLogPath, type Host, overlayPath } from '../host.ts';
import { allocate, macOf } from '../network/allocation.ts';
import { backendEndpoint } from '../network/backend-endpoint.ts';
import { ensureNetwork } from '../network/network.ts';
import { subnetOf } from '../network/subnet.ts';
import type { VmRecord } from '../state/records.ts';
import { dropDomain, enforceReservations } from './parts.ts';
import { cutPower, startDomain } from './power.ts';
import { vmStatus } from './status.ts';

type CreateStep = 'record' | 'overlay' | 'reservation' | 'define' | 'firewall' | 'start';

export interface CreateOptions {
  signal?: AbortSignal;
  progress?: (progress: Progress) => void;
}

/**
 * Repeating it finishes what was begun, and starts the VM if it is off.
 * @throws VmcError 'not-found' (image), 'no-space', 'limit', 'already-exists', 'libvirt-down', 'bad-request'.
 */
export function createVm(
  host: Host,
  spec: VmSpec,
  bootstrap: Bootstrap,
  options: CreateOptions = {},
): Promise<VmStatus> {
  checkBootstrap(host, spec, bootstrap);
  return host.locks.hold([spec.vmId], async () => {
    const undo = new Undo();
    try {
      await createLocked(host, spec, bootstrap, options, undo);
    } catch (error) {
      const failures = await undo.rollBack();
      if (failures.length === 0) throw error;
      throw new VmcError(
        error instanceof VmcError ? error.code : 'internal',
        `${error instanceof Error ? error.message : error} Not all of it could be undone (${failures.map((it) => it.what).join(', ')}).`,
        `Finish with: host-agent vm delete ${spec.vmId}`,
        { cause: error },
      );
    }
    undo.commit();
    return vmStatus(host, spec.vmId);
  });
}

async function createLocked(
  host: Host,
  spec: VmSpec,
  bootstrap: Bootstrap,
  options: CreateOptions,
  undo: Undo,
): Promise<void> {
  const { vmId } = spec;
  const begin = async (step: CreateStep): Promise<void> => {
    if (options.signal?.aborted === true) throw new VmcError('cancelled', `Making ${vmId} was cancelled.`);
    options.progress?.({ step });
    await host.step(`vm.create:${step}`);
  };
  const existing = await host.vms.get(vmId);
  if (existing !== undefined && !sameSpec(existing.spec, spec))
    throw new VmcError('already-exists', `${vmId} is there already, with another image or hardware.`);
  const before = await inspectDomain(host.virsh, vmId);
  if (existing === undefined && before !== undefined)
    throw new VmcError('already-exists', `libvirt has a domain ${vmId} that this agent has not made.`);
  await requirePool(host, 'drives');
  const image = await readImage(host.config.pools.images, spec.image);
  await ensureNetwork(host.config, host.virsh, await backendEndpoint(host.config));

  await begin('record');
  const record = existing ?? (await allocateRecord(host, spec, undo));

  await begin('overlay');
  await ensureOverlay(host, vmId, image, existing !== undefined, undo);

  await begin('reservation');
  if (existing === undefined) undo.add('address reservation', () => enforceReservations(host, vmId));
  await enforceReservations(host);

  // A machine that is off is defined anew unless it has drives: the bootstrap's token may be another one now.
  if (before === undefined || (before.state === 'off' && before.config.length <= 1)) {
    await begin('define');
    if (before === undefined)
      undo.add('domain', async () => {
        await cutPower(host, vmId); // a start that took too long may have come about after all
        await dropDomain(host, vmId);
      });
    await define(host, record, image, bootstrap);
  }

  await begin('firewall');
  if (existing === undefined)
    undo.add('forward', async () => {
      await host.vms.remove(vmId);
      await enforceFirewall(host);
    });
  await enforceFirewall(host);

  if (before === undefined || before.state === 'off') {
    await begin('start');
    await startDomain(host, { name: vmId, config: before?.config ?? [] });
  }
  await host.step('vm.create:done');
}

async function allocateRecord(host: Host, spec: VmSpec, undo: Undo): Promise<VmRecord> {
  await checkPoolSpace(host, 0);
  const { network, forwardPorts } = host.config;
  return host.locks.hold(['allocation'], async () => {
    const taken = await host.vms.list();
    const record: VmRecord = {
      spec,
      mac: macOf(spec.vmId),
      createdAt: host.now(),
      ...allocate(spec.vmId, taken, subnetOf(network.subnet), forwardPorts),
    };
    const twin = taken.find((it) => it.mac === record.mac);
    if (twin !== undefined)
      throw new VmcError(
        'already-exists',
        `${spec.vmId} would have the MAC address of ${twin.spec.vmId}.`,
        'Use another id.',
      );
    undo.add('record', () => host.vms.remove(spec.vmId));
    await host.vms.put(spec.vmId, record);
    return record;
  });
}

async function ensureOverlay(host: Host, vmId: string, image: Image, begun: boolean, undo: Undo): Promise<void> {
  const path = overlayPath(host, vmId);
  if ((await allocatedBytes(path)) !== undefined) {
    if (begun) return;
    throw new VmcError('already-exists', `${path} is there, but this agent has not made it.`, 'Move it away.');
  }
  const { sizeBytes } = await imageInfo(image.disk, 'qcow2');
  await checkPoolSpace(host, sizeBytes);
  await makeFile(path, (temporary) => createOverlay(temporary, image.disk));
  undo.add('overlay', async () => void (await removeFile(path)));
}

async function define(host: Host, record: VmRecord, image: Image, bootstrap: Bootstrap): Promise<void> {
  const { vmId, cores, memoryMiB } = record.spec;
  const consoleLog = consoleLogPath(host, vmId);
  await makeFolder(join(consoleLog, '..'), 0o700);
  const xml = domainXml({
    vmId,
    cores,
    memoryMiB,
    accelerator: await chooseAccelerator(host),
    boot: image.boot,
    rootDisk: overlayPath(host, vmId),
    cache: host.config.pools.cache,
    network: host.config.network.name,
    mac: record.mac,
    address: record.address,
    consoleLog,
    bootstrap: encodeBootstrap(bootstrap),
  });
  await host.virsh.runWithXml(xml, (path) => ['define', path, '--validate']);
}

function checkBootstrap(host: Host, spec: VmSpec, bootstrap: Bootstrap): void {
  if (bootstrap.vm.id !== spec.vmId)
    throw new VmcError('bad-request', `The bootstrap is for ${bootstrap.vm.id}, not for ${spec.vmId}.`);
  const [told, allowed] = [new URL(bootstrap.backend.url).origin, new URL(host.config.backend.url).origin];
  if (told !== allowed)
    throw new VmcError(
      'bad-request',
      `The VM is told to use the backend at ${told}, but VMs on this host can reach only ${allowed}.`,
      'Make backend.url in host-agent.toml and publicUrl in backend.toml the same.',
    );
}

const sameSpec = (a: VmSpec, b: VmSpec): boolean =>
  a.image === b.image && a.cores === b.cores && a.memoryMiB === b.memoryMiB;
