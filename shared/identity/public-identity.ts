/** The JSON form of a public identity: standard base64 with padding, exact lengths, checked proof. */
import * as z from 'zod';
import { VmcError } from '../errors.ts';
import { type PublicIdentity, proofHolds } from './identity.ts';
import { ed25519PublicKey, mlKemPublicKey, SIZE, signature, x25519PublicKey } from './keys.ts';

export interface PublicIdentityJson {
  ed25519: string;
  x25519: string;
  mlkem768: string;
  proof: string;
}

/** Standard base64 of exactly `size` bytes, each byte string having one spelling. */
function base64Of<Key extends Uint8Array>(size: number, key: (bytes: Uint8Array) => Key) {
  return z
    .string()
    .length(4 * Math.ceil(size / 3))
    .regex(/^[A-Za-z0-9+/]*={0,2}$/, 'not standard base64')
    .transform((text, context): Key => {
      try {
        return key(Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' }));
      } catch (error) {
        context.addIssue({
          code: 'custom',
          message: error instanceof VmcError ? error.message : 'not standard base64',
        });
        return z.NEVER;
      }
    });
}

/** One Ed25519 public key in JSON, for where only the name of someone is meant. */
export const ed25519Schema = base64Of(SIZE.ed25519, ed25519PublicKey);

export const signatureSchema = base64Of(SIZE.signature, signature);

/** Parses `{ed25519, x25519, mlkem768, proof}` to bytes; refuses wrapping keys that the Ed25519 key did not sign. */
export const publicIdentitySchema = z
  .strictObject({
    ed25519: ed25519Schema,
    x25519: base64Of(SIZE.x25519, x25519PublicKey),
    mlkem768: base64Of(SIZE.mlkem768, mlKemPublicKey),
    proof: signatureSchema,
  })
  .refine(proofHolds, 'the wrapping keys are not signed by the identity');

export function publicIdentityToJson(identity: PublicIdentity): PublicIdentityJson {
  return {
    ed25519: identity.ed25519.toBase64(),
    x25519: identity.x25519.toBase64(),
    mlkem768: identity.mlkem768.toBase64(),
    proof: identity.proof.toBase64(),
  };
}
