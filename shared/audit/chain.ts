/** What ties the records of an audit log together, and what the VM signs of them. */
import { hash } from 'node:crypto';
import { utf8 } from '../bytes.ts';
import { domain } from '../identity/framing.ts';
import type { Identity } from '../identity/identity.ts';
import { ed25519PublicKey } from '../identity/keys.ts';
import { signStatementNatively, verifyStatement } from '../identity/statement.ts';
import { type CheckpointRecord, MAX_LINE_BYTES } from './record.ts';

const PREFIX = domain('audit line');
const scratch = new Uint8Array(PREFIX.length + MAX_LINE_BYTES);
scratch.set(PREFIX);

/** Hex of SHA-256("vmc/1 audit line" NUL ‖ the bytes of the line without its LF). @throws RangeError for one that is too long. */
export function lineHash(line: Uint8Array): string {
  scratch.set(line, PREFIX.length);
  return hash('sha256', scratch.subarray(0, PREFIX.length + line.length));
}

const CONTEXT = 'audit checkpoint';

type Signed = Omit<CheckpointRecord, 'what' | 'signature'>;

/** Every field of the record but the key, which is what the signature is verified by. */
const parts = ({ log, vm, seq, at, prev }: Signed): Uint8Array[] => [
  utf8(log),
  utf8(vm),
  utf8(String(seq)),
  utf8(at),
  Uint8Array.fromHex(prev),
];

export function signCheckpoint(identity: Identity, fields: Omit<Signed, 'key'>): CheckpointRecord {
  const signed = { ...fields, key: identity.public.ed25519.toBase64() };
  const signature = signStatementNatively(identity, CONTEXT, parts(signed)).toBase64();
  return { ...signed, what: 'log.checkpoint', signature };
}

/** Whether the key that the checkpoint names made its signature. Whose key that is has to be asked apart. */
export function checkpointHolds(checkpoint: CheckpointRecord): boolean {
  const { key, signature } = checkpoint;
  try {
    const signer = ed25519PublicKey(strictBase64(key));
    return verifyStatement(signer, CONTEXT, parts(checkpoint), strictBase64(signature));
  } catch {
    return false;
  }
}

/** Each byte string has one spelling: stray bits in the last character are refused. */
const strictBase64 = (text: string): Uint8Array => Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' });
