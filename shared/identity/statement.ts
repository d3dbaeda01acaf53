/**
 * Signed statements: one layout for everything that an identity signs (sign-in, enrolment, relay, hellos), so that
 * what was signed for one purpose never passes for another. framing.ts has the layout.
 */

import { sign } from './curves.ts';
import { statementBytes } from './framing.ts';
import type { Identity } from './identity.ts';
import type { Ed25519PublicKey, Signature } from './keys.ts';
import { sign as signNatively, verify } from './native.ts';

/** Ed25519 over the statement, by code that also runs in a browser. @param context what the signature is for. */
export function signStatement(identity: Identity, context: string, parts: readonly Uint8Array[]): Signature {
  return sign(statementBytes(context, parts), identity.secret.ed25519, identity.public.ed25519);
}

/** The same signature by node:crypto, for daemons. */
export function signStatementNatively(identity: Identity, context: string, parts: readonly Uint8Array[]): Signature {
  return signNatively(statementBytes(context, parts), identity.secret.ed25519);
}

export function verifyStatement(
  signer: Ed25519PublicKey,
  context: string,
  parts: readonly Uint8Array[],
  signature: Uint8Array,
): boolean {
  return verify(statementBytes(context, parts), signer, signature);
}
