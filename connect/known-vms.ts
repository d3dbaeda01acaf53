/**
 * VMs this device knows, as `known_hosts` does for SSH. The backend says which key a VM has and which VM a name means;
 * it is believed once, when the VM is first met, and never against what is written here.
 *
 *   { "vm-…": { "name", "ed25519", "fingerprint" } }   met: its key is pinned
 *   { "vm-…": { "name" } }                             named by the person here (made, or given a drive), not yet met
 */
import * as z from 'zod';
import { equalBytes } from '../shared/bytes.ts';
import { VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../shared/identity/keys.ts';
import { ed25519Schema } from '../shared/identity/public-identity.ts';
import { nameSchema, vmIdSchema } from '../shared/names.ts';

const knownVmSchema = z.strictObject({
  name: z.union([nameSchema, z.string().regex(/^[a-z][a-z0-9-]*@user-[0-9a-f]{12}$/)]),
  /** Base64. The fingerprint beside it is for people; the key is what counts. */
  ed25519: z.string().optional(),
  fingerprint: z.string().optional(),
  /** The highest version of its people that this device has seen; see vm/people-version.ts. */
  peopleVersion: z.number().int().nonnegative().optional(),
});
export const knownVmsSchema = z
  .record(vmIdSchema, knownVmSchema)
  .refine(
    (known) =>
      Object.values(known).every((vm) => vm.ed25519 === undefined || ed25519Schema.safeParse(vm.ed25519).success),
    'a key is damaged',
  );
export type KnownVms = z.output<typeof knownVmsSchema>;

/** What the backend says about a VM. */
export interface PresentedVm {
  vmId: string;
  name: string;
  ed25519: Ed25519PublicKey;
}

/** known: the pinned key · named: meant by the person here, first contact · stranger: never heard of, first contact */
export type Acquaintance = 'known' | 'named' | 'stranger';

/**
 * What a VM is called on this device. Each owner gives names of their own: somebody else's VM is known together with whose
 * it is, so that two people's VMs of one name are not taken for each other.
 */
export function nameHere(vm: { name: string; ownerId: string }, me: string): string {
  return vm.ownerId === me ? vm.name : `${vm.name}@${vm.ownerId}`;
}

/** For somebody else's VM that was asked for by a name. @throws VmcError 'identity-changed' when it meant another one so far. */
export function checkMeaning(known: KnownVms, vm: { vmId: string }, wanted: string): void {
  const [before] = Object.entries(known).find(([vmId, { name }]) => name === wanted && vmId !== vm.vmId) ?? [];
  if (before === undefined) return;
  throw new VmcError(
    'identity-changed',
    `THE NAME ${wanted} MEANT ANOTHER VM SO FAR: on this device it is ${before}, one of yours; now the backend has only somebody else's, ${vm.vmId}. Nothing was sent.`,
    `If that one is meant, call it by its id: ${vm.vmId}`,
  );
}

/** @throws VmcError 'identity-changed' when the name meant another VM so far, or the VM had another name. */
export function checkName(known: KnownVms, vm: { vmId: string; name: string }): void {
  const entry = known[vm.vmId];
  const namesake = Object.entries(known).find(([vmId, other]) => other.name === vm.name && vmId !== vm.vmId);
  if (namesake === undefined && (entry === undefined || entry.name === vm.name)) return;
  const before = namesake === undefined ? `${vm.vmId} was ${entry?.name}` : `${vm.name} was ${namesake[0]}`;
  throw new VmcError(
    'identity-changed',
    `THE NAME ${vm.name} MEANT ANOTHER VM SO FAR: on this device ${before}; now the backend says ${vm.name} is ${vm.vmId}. Nothing was sent.`,
    `Only if you made it anew yourself: compare the fingerprint on its console, then connect vm trust ${vm.vmId} --accept FINGERPRINT`,
  );
}

/** @throws VmcError 'identity-changed' when the key is not the pinned one, or the name meant another VM so far. */
export function acquaintance(known: KnownVms, vm: PresentedVm): Acquaintance {
  const entry = known[vm.vmId];
  if (entry?.ed25519 !== undefined && !equalBytes(ed25519Schema.parse(entry.ed25519), vm.ed25519))
    throw new VmcError(
      'identity-changed',
      `THE IDENTITY OF THE VM ${vm.name} (${vm.vmId}) HAS CHANGED: this device knows ${entry.fingerprint}, now ${fingerprint(vm.ed25519)} is presented. Nothing was sent.`,
      `Someone may stand in for the VM. Only if you rebuilt it yourself: compare with its console, then connect vm trust ${vm.vmId} --accept ${fingerprint(vm.ed25519)}`,
    );
  checkName(known, vm);
  if (entry === undefined) return 'stranger';
  return entry.ed25519 === undefined ? 'named' : 'known';
}

/**
 * What the VM itself said of its people. A VM that is not known is not made known by it.
 * @param compared the highest version known when it was looked at: only what is lower than that was told of as a roll-back.
 */
export function sawPeople(known: KnownVms, vmId: string, peopleVersion: number, compared: number): KnownVms {
  const entry = known[vmId];
  if (entry === undefined || (peopleVersion >= compared && peopleVersion < (entry.peopleVersion ?? 0))) return known;
  return { ...known, [vmId]: { ...entry, peopleVersion } };
}

/** Pins a key. Whoever had the name before is forgotten. */
export function pin(known: KnownVms, vm: PresentedVm): KnownVms {
  return {
    ...withoutNamesakes(known, vm),
    [vm.vmId]: { name: vm.name, ed25519: vm.ed25519.toBase64(), fingerprint: fingerprint(vm.ed25519) },
  };
}

/** The person means this VM by this name; a pinned key stays. */
export function meant(known: KnownVms, vm: { vmId: string; name: string }): KnownVms {
  return { ...withoutNamesakes(known, vm), [vm.vmId]: { ...known[vm.vmId], name: vm.name } };
}

export function forget(known: KnownVms, vmId: string): KnownVms {
  const { [vmId]: _forgotten, ...others } = known;
  return others;
}

function withoutNamesakes(known: KnownVms, vm: { vmId: string; name: string }): KnownVms {
  return Object.fromEntries(Object.entries(known).filter(([vmId, { name }]) => vmId === vm.vmId || name !== vm.name));
}
