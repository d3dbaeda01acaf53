/** Who this host is to the backend: an identity made here, and the id the backend gave it. */
import { join } from 'node:path';
import * as z from 'zod';
import { BackendClient } from '../../shared/backend-client/client.ts';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder, readIfThere, writeAtomic, writeOnce } from '../../shared/files.ts';
import {
  decodeIdentitySecret,
  encodeIdentitySecret,
  generateIdentity,
  type Identity,
} from '../../shared/identity/identity.ts';
import { base64Schema, hostIdSchema, sha256HexSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';
import type { Config } from '../config.ts';

const enrolledSchema = z.strictObject({ hostId: hostIdSchema, pin: sha256HexSchema });

const identityPath = (config: Config) => join(config.stateDir, 'identity');
const enrolledPath = (config: Config) => join(config.stateDir, 'enrolled.json');

/** The host's keys, made on first use: base64 of the secret encoding, 0600. */
export async function hostIdentity(config: Config): Promise<Identity> {
  await makeFolder(config.stateDir, 0o700);
  const path = identityPath(config);
  const text = await readIfThere(path);
  if (text !== undefined) {
    const bytes = Buffer.from(text.trim(), 'base64');
    try {
      return decodeIdentitySecret(bytes);
    } finally {
      bytes.fill(0);
    }
  }
  const secret = encodeIdentitySecret(generateIdentity());
  await writeOnce(path, `${Buffer.from(secret).toString('base64')}\n`, 0o600);
  secret.fill(0);
  return hostIdentity(config); // of two processes that make it at once, one wins
}

/** @param token base64, as the backend printed it. @throws VmcError as the backend says; 'bad-request' for a malformed id or token. */
export async function enrol(config: Config, hostId: string, token: Uint8Array): Promise<void> {
  const id = hostIdSchema.safeParse(hostId);
  if (!id.success) throw new VmcError('bad-request', 'A host id looks like host-0123456789ab.');
  const bytes = base64Schema(32, 32).safeParse(new TextDecoder().decode(token).trim());
  if (!bytes.success)
    throw new VmcError('bad-request', 'The enrolment token is not 32 bytes of base64.', 'Copy it whole.');
  const identity = await hostIdentity(config);
  const client = new BackendClient(config.backend);
  try {
    await client.enrolHost(identity, id.data, bytes.data, config.address);
  } finally {
    client.close();
  }
  await writeAtomic(enrolledPath(config), JSON.stringify({ hostId: id.data, pin: config.backend.pin }), 0o600);
}

/** @throws VmcError 'wrong-state' when this host has not enrolled, or has with another backend. */
export async function enrolledHostId(config: Config): Promise<string> {
  const text = await readIfThere(enrolledPath(config));
  const hint =
    'Register the host with `connect host add NAME`, then: host-agent enrol --host-id ID --token-fd 3 3<FILE';
  if (text === undefined) throw new VmcError('wrong-state', 'This host is not enrolled with a backend.', hint);
  const { hostId, pin } = parseJson(enrolledSchema, text, enrolledPath(config), 'Enrol again.');
  if (pin !== config.backend.pin)
    throw new VmcError('wrong-state', 'This host is enrolled with a backend of another key than backend.pin.', hint);
  return hostId;
}
