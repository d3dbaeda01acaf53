/** Small byte helpers that need neither Buffer nor node:crypto, so that browser code can use them too. */

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A Buffer as a plain Uint8Array over the same memory: no second copy of what may be a secret. */
export const plainBytes = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Overwrites a secret. What the engine copied before is out of reach: see docs/security.md. */
export const wipe = (secret: Uint8Array): void => {
  secret.fill(0);
};
