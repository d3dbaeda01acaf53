/**
 * The pass with which this VM parks at the relays, and where those are. Kept, so that the VM can be reached while the backend's
 * rest is down. That it is there also says that the backend knows this VM's public keys.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { readIfThere, writeAtomic } from '../../shared/files.ts';
import { sha256HexSchema, toBase64, vmIdSchema } from '../../shared/names.ts';
import { type RelayAccess, relayAccessSchema } from '../../shared/rest-api/vm-enrol.ts';
import { parseJson } from '../../shared/validate.ts';

const storedSchema = z.strictObject({
  version: z.literal(1),
  vmId: vmIdSchema,
  /** Of the backend that gave it. */
  backendPin: sha256HexSchema,
  /** Milliseconds since 1970. */
  givenAt: z.number().int(),
  ...relayAccessSchema.shape,
});

export interface StoredAccess extends RelayAccess {
  givenAt: number;
}

export const relayAccessPath = (stateDir: string): string => join(stateDir, 'relay.json');

/**
 * @param pin of the backend: another backend has to be asked anew.
 * @returns undefined when there is none, and for a damaged file: a new pass costs one request.
 */
export async function readRelayAccess(stateDir: string, vmId: string, pin: string): Promise<StoredAccess | undefined> {
  const path = relayAccessPath(stateDir);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const stored = parseJson(storedSchema, text, path);
    return stored.vmId === vmId && stored.backendPin === pin ? stored : undefined;
  } catch {
    return undefined;
  }
}

export async function writeRelayAccess(
  stateDir: string,
  vmId: string,
  backendPin: string,
  { pass, relays, givenAt }: StoredAccess,
): Promise<void> {
  const json: z.input<typeof storedSchema> = { version: 1, vmId, backendPin, givenAt, pass: toBase64(pass), relays };
  await writeAtomic(relayAccessPath(stateDir), `${JSON.stringify(json)}\n`, 0o600);
}
