/**
 * A record that only this VM can have made: one line of JSON, then one line with the base64 of the VM's Ed25519 signature
 * over exactly the bytes of the first (a statement with a context of its own; docs/protocol.md, Statements).
 */
import type * as z from 'zod';
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { signatureSchema } from '../../shared/identity/public-identity.ts';
import { signStatementNatively, verifyStatement } from '../../shared/identity/statement.ts';
import { parseJson } from '../../shared/validate.ts';

export function encodeSigned(identity: Identity, context: string, record: unknown): string {
  const line = JSON.stringify(record);
  return `${line}\n${signStatementNatively(identity, context, [utf8(line)]).toBase64()}\n`;
}

export interface SignedSource {
  context: string;
  /** Where the text came from, for the message. */
  path: string;
  hint: string;
}

/** @throws VmcError 'bad-data' when it is damaged; 'owner-mismatch' when this VM has not signed it. */
export function decodeSigned<S extends z.ZodType>(
  signer: Ed25519PublicKey,
  schema: S,
  text: string,
  { context, path, hint }: SignedSource,
): z.output<S> {
  const [line, signature, rest, ...more] = text.split('\n');
  const parsed = signatureSchema.safeParse(signature);
  if (line === undefined || rest !== '' || more.length > 0 || !parsed.success)
    throw new VmcError('bad-data', `${path} is damaged.`, hint);
  if (!verifyStatement(signer, context, [utf8(line)], parsed.data))
    throw new VmcError('owner-mismatch', `${path} was not written by this VM, or was changed since.`, hint);
  return parseJson(schema, line, path, hint);
}
