/** What the state folder says about this VM, for commands that run beside the daemon. Changes nothing. */
import type { Bootstrap } from '../shared/bootstrap.ts';
import { VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import { storedBootstrapPath } from './state/accept-bootstrap.ts';
import { readSelf, type Self } from './state/first-start.ts';
import { readBootstrap } from './state/read-bootstrap.ts';
import { readRelayAccess } from './state/relay-access.ts';

export interface KnownVm {
  vmId: string;
  name: string;
  fingerprint: string;
  ownerFingerprint: string;
  backendUrl: string;
  backendPin: string;
  enrolled: boolean;
}

/** @throws VmcError 'wrong-state' before vmc has started for the first time. */
export async function readKnownVm(stateDir: string): Promise<KnownVm> {
  const { identity, ownership: owner } = await readKnownSelf(stateDir);
  const bootstrap = await readStoredBootstrap(stateDir);
  return {
    vmId: owner.vmId,
    name: bootstrap.vm.name,
    fingerprint: fingerprint(identity.public.ed25519),
    ownerFingerprint: fingerprint(owner.owner.ed25519),
    backendUrl: bootstrap.backend.url,
    backendPin: bootstrap.backend.pin,
    enrolled: (await readRelayAccess(stateDir, owner.vmId, bootstrap.backend.pin)) !== undefined,
  };
}

/** @throws VmcError 'wrong-state' before vmc has started for the first time; what `readSelf` throws. */
export async function readKnownSelf(stateDir: string): Promise<Self> {
  const self = await readSelf(stateDir);
  if (self === undefined) throw notStarted();
  return self;
}

/** @throws VmcError 'wrong-state' when there is none yet. */
export async function readStoredBootstrap(stateDir: string): Promise<Bootstrap> {
  const bootstrap = await readBootstrap(storedBootstrapPath(stateDir));
  if (bootstrap === undefined) throw notStarted();
  return bootstrap;
}

const notStarted = () =>
  new VmcError(
    'wrong-state',
    'vmc has not started in this VM yet.',
    'Look at why: journalctl -u vmc; vmc doctor says more.',
  );
