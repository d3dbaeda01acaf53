/** The real backend in a process of its own, with one person and a few enrolled VMs. */
import { randomBytes } from 'node:crypto';
import { initStateFolder } from '../../backend/state-folder.ts';
import { openStore } from '../../backend/store/store.ts';
import { initTicketKey } from '../../backend/tickets/ticket-key.ts';
import { PASS_MS } from '../../backend/tickets/ticket-office.ts';
import { encodeIdentitySecret, generateIdentity, type Identity } from '../../shared/identity/identity.ts';
import { publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { toBase64 } from '../../shared/names.ts';
import { makePass } from '../../shared/relay/ticket.ts';
import { fileIn, type Site } from '../site.ts';
import { startBackendProcess } from './backend-process.ts';

const OWNER = 'user-000000000000';

export interface SampleBackend {
  readonly relay: { url: string; pin: string };
  readonly pid: number;
  /** Secrets, for the stdin of whoever plays the part. */
  readonly person: string;
  /** All VMs here have the same keys, which the relay does not mind. */
  readonly vm: string;
  readonly vmKey: string;
  readonly vms: readonly SampleVm[];
}

export interface SampleVm {
  readonly vmId: string;
  /** What the relay lets it park with. */
  readonly pass: string;
}

/** @param name of its folder and its log. */
export async function startSampleBackend(site: Site, name: string, vms: number): Promise<SampleBackend> {
  const stateDir = fileIn(site, name);
  const { keys } = await initStateFolder(stateDir, new Date());
  const person = generateIdentity();
  const vm = generateIdentity();
  const vmIds = Array.from({ length: vms }, (_, i) => `vm-${i.toString(16).padStart(12, '0')}`);
  fillStore(stateDir, person, vm, vmIds);
  const { seed } = await initTicketKey(stateDir);
  const expiresAt = Date.now() + PASS_MS;
  const vmKey = vm.public.ed25519;
  const { process, port } = await startBackendProcess(site, {
    name,
    unit: 'backend',
    words: ['daemon'],
    config: ['publicUrl = "https://127.0.0.1:1"'],
  });
  return {
    relay: { url: `https://127.0.0.1:${port}`, pin: keys.pin },
    pid: process.pid,
    person: toBase64(encodeIdentitySecret(person)),
    vm: toBase64(encodeIdentitySecret(vm)),
    vmKey: toBase64(vmKey),
    vms: vmIds.map((vmId) => ({ vmId, pass: toBase64(makePass(seed, { ownerId: OWNER, vmId, expiresAt, vmKey })) })),
  };
}

/** What claiming an account, adding a host, making VMs and enrolling them would leave in the store. */
function fillStore(stateDir: string, person: Identity, vm: Identity, vmIds: readonly string[]): void {
  const store = openStore(stateDir);
  const keysOf = ({ public: who }: Identity) => ({
    ed25519: who.ed25519,
    identity: JSON.stringify(publicIdentityToJson(who)),
  });
  const createdAt = Date.now();
  const tokenHash = randomBytes(32); // of a token that nobody has
  const ownerId = OWNER;
  const hostId = 'host-000000000000';
  store.transaction(() => {
    store.accounts.add({ userId: ownerId, name: 'bench', role: 'super-admin', ...keysOf(person), createdAt });
    store.hosts.add({ hostId, name: 'bench', tokenHash, createdAt });
    for (const [i, vmId] of vmIds.entries()) {
      const size = { cores: 1, memoryMiB: 512 };
      store.vms.add({ vmId, name: `vm${i}`, ownerId, hostId, image: 'none', ...size, tokenHash, createdAt });
      store.vms.enrol(vmId, keysOf(vm));
      store.vms.setMade(vmId);
    }
  });
  store.close();
}
