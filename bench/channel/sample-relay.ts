/** `backend relay` in a process of its own, and passes for any number of VMs that were never made. */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { readServerKeys } from '../../backend/state-folder.ts';
import { PASS_MS } from '../../backend/tickets/ticket-office.ts';
import { encodeIdentitySecret, generateIdentity } from '../../shared/identity/identity.ts';
import { ed25519FromSeed } from '../../shared/identity/native.ts';
import { toBase64 } from '../../shared/names.ts';
import { makePass } from '../../shared/relay/ticket.ts';
import { fileIn, type Site } from '../site.ts';
import { startBackendProcess } from './backend-process.ts';

const OWNER = 'user-000000000000';
/** Descriptors: one for each socket, and some for itself. */
const SPARE_FILES = 256;

export interface SampleRelay {
  readonly relay: { url: string; pin: string };
  readonly pid: number;
  /** Secret, for the stdin of whoever plays the VMs. All of them have the same keys, which the relay does not mind. */
  readonly vm: string;
  readonly vms: readonly { readonly vmId: string; readonly pass: string }[];
}

/** @param name of its folder and its log. */
export async function startSampleRelay(site: Site, name: string, vms: number): Promise<SampleRelay> {
  const stateDir = fileIn(site, name);
  await mkdir(stateDir, { mode: 0o700 });
  const seed = randomBytes(32);
  const { process, port } = await startBackendProcess(site, {
    name,
    unit: 'backend-relay',
    words: ['relay', 'daemon'],
    config: [
      `ticketKey = "${toBase64(ed25519FromSeed(seed))}"`,
      `relay = { idlePerOwner = ${vms + 1} }`,
      `limits = { connections = ${vms + 1000}, connectionsPerAddress = ${vms + 1000} }`,
    ],
    files: vms + SPARE_FILES,
  });
  const vm = generateIdentity();
  const expiresAt = Date.now() + PASS_MS;
  return {
    relay: { url: `https://127.0.0.1:${port}`, pin: (await readServerKeys(stateDir)).pin },
    pid: process.pid,
    vm: toBase64(encodeIdentitySecret(vm)),
    vms: Array.from({ length: vms }, (_, i) => {
      const vmId = `vm-${i.toString(16).padStart(12, '0')}`;
      return { vmId, pass: toBase64(makePass(seed, { ownerId: OWNER, vmId, expiresAt, vmKey: vm.public.ed25519 })) };
    }),
  };
}
