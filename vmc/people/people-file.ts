/**
 * The people on disk, signed by the VM. A copy from another VM, one that was edited, and (as far as a file beside it can
 * tell) one that is older than what this VM has written are refused: then only the owner may come in.
 *
 *   people.json      a signed record (../state/signed-record.ts)
 *   people.version   the highest version written. Whoever puts back both files, or the whole disk, is not seen here: the
 *                    audit log and people's devices remember versions too (docs/rights.md)
 */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, readIfThere, syncFolder, writeAtomic } from '../../shared/files.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { sha256 } from '../../shared/identity/native.ts';
import { vmIdSchema } from '../../shared/names.ts';
import { decodeSigned, encodeSigned } from '../state/signed-record.ts';
import { fromStored, nobody, type PeopleState, storedPeopleSchema, toStored } from './people-state.ts';

const CONTEXT = 'vmc-people';
const HINT =
  'Only the owner may come in. Restore people.json and people.version from one backup of this VM and restart vmc; or the owner begins anew: connect vm people reset';

const fileSchema = z.strictObject({ format: z.literal(1), vmId: vmIdSchema, people: storedPeopleSchema });

export interface PeopleFileDeps {
  stateDir: string;
  identity: Identity;
  vmId: string;
  /** Fingerprint of the owner. */
  owner: string;
}

const peoplePath = ({ stateDir }: { stateDir: string }) => join(stateDir, 'people.json');
const versionPath = ({ stateDir }: { stateDir: string }) => join(stateDir, 'people.version');

/** @throws VmcError 'bad-data', 'owner-mismatch' for people that cannot be trusted. */
export async function readPeople(deps: PeopleFileDeps): Promise<PeopleState> {
  const path = peoplePath(deps);
  const [text, written] = await Promise.all([readIfThere(path), readVersion(deps)]);
  if (text === undefined) {
    if (written === 0) return nobody(deps.owner);
    throw new VmcError('bad-data', `${path} is missing; it was at version ${written}.`, HINT);
  }
  return decodePeople(deps, text, written);
}

/** @param written the highest version that this VM has written. @throws as `readPeople`. */
export function decodePeople(deps: PeopleFileDeps, text: string, written: number): PeopleState {
  const path = peoplePath(deps);
  const source = { context: CONTEXT, path, hint: HINT };
  const { vmId, people } = decodeSigned(deps.identity.public.ed25519, fileSchema, text, source);
  if (vmId !== deps.vmId) throw new VmcError('owner-mismatch', `${path} is of ${vmId}; this VM is ${deps.vmId}.`, HINT);
  if (people.version < written)
    throw new VmcError(
      'bad-data',
      `${path} is an old copy: it has version ${people.version}, and this VM has written ${written}.`,
      HINT,
    );
  return fromStored(deps.owner, people);
}

/** The highest version that this VM remembers to have written. @throws VmcError 'bad-data'. */
export async function readVersion(deps: Pick<PeopleFileDeps, 'stateDir'>): Promise<number> {
  const text = await readIfThere(versionPath(deps));
  if (text === undefined) return 0;
  if (!/^[1-9]\d{0,14}\n$/.test(text)) throw new VmcError('bad-data', `${versionPath(deps)} is damaged.`, HINT);
  return Number(text);
}

/** @returns the SHA-256 of the file, hex, for the audit log. */
export async function writePeople(deps: PeopleFileDeps, state: PeopleState): Promise<string> {
  const record: z.input<typeof fileSchema> = { format: 1, vmId: deps.vmId, people: toStored(state) };
  const text = encodeSigned(deps.identity, CONTEXT, record);
  await writeAtomic(peoplePath(deps), text, 0o600);
  return sha256(utf8(text)).toHex();
}

/** After `writePeople`: a crash between the two leaves the lower number, which refuses nothing. */
export async function writeVersion(deps: Pick<PeopleFileDeps, 'stateDir'>, version: number): Promise<void> {
  await writeAtomic(versionPath(deps), `${version}\n`, 0o600);
}

/** Keeps what could not be trusted, for whoever wants to know why. An earlier one is replaced. */
export async function setAsidePeople(deps: PeopleFileDeps): Promise<void> {
  try {
    await rename(peoplePath(deps), `${peoplePath(deps)}.refused`);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  await syncFolder(deps.stateDir);
}
