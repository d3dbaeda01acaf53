/** From seeds to an identity, by whatever does the cryptography. */
import type { KeyMaker } from './cryptography.ts';
import { statementBytes } from './framing.ts';
import type { Identity, IdentitySecret } from './identity.ts';
import { SIZE } from './keys.ts';

/** Of the statement that `PublicIdentity.proof` is. */
export const PROOF_CONTEXT = 'wrapping keys';

export const randomSeeds = (random: (length: number) => Uint8Array): IdentitySecret => ({
  ed25519: random(SIZE.secret),
  x25519: random(SIZE.secret),
  mlkem768: random(SIZE.mlkem768Seed),
});

/** Keeps the seeds themselves, not copies. */
export function makeIdentity(secret: IdentitySecret, maker: KeyMaker): Identity {
  const ed25519 = maker.ed25519FromSeed(secret.ed25519);
  const x25519 = maker.x25519FromSecret(secret.x25519);
  const mlkem768 = maker.mlKemFromSeed(secret.mlkem768);
  const proof = maker.sign(statementBytes(PROOF_CONTEXT, [x25519, mlkem768]), secret.ed25519, ed25519);
  return { public: { ed25519, x25519, mlkem768, proof }, secret };
}
