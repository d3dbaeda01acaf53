/** Makes the input of a finding short, so that a person can read it: takes pieces out as long as it still fails. */
import { concatBytes } from '../../shared/bytes.ts';

const MAX_TRIES = 600;

export async function shrink(
  input: Uint8Array,
  fails: (candidate: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let best = input;
  let tries = 0;
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.length; ) {
      if (++tries > MAX_TRIES) return best;
      const candidate = concatBytes(best.subarray(0, at), best.subarray(at + size));
      if (candidate.length < best.length && (await fails(candidate))) best = candidate;
      else at += size;
    }
  }
  return best;
}
