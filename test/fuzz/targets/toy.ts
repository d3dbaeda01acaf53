/** Parsers with bugs that are known. Not in any run by themselves: they show that the fuzzer finds what is there. */

import { utf8 } from '../../../shared/bytes.ts';
import { type Parser, type Target, type Verdict, verdict } from '../target.ts';

const kept: Uint8Array[] = [];

function toy(name: string, seed: string, run: Parser['run'], form: Target['form'] = 'bytes'): Target {
  return {
    name: `toy/${name}`,
    from: 'stranger',
    form,
    weight: 1,
    maxBytes: 256,
    open: () => ({ seeds: [utf8(seed)], run }),
  };
}

/** Length, then a tag; a length that is greater than what follows reads beyond the end. */
function readPastTheEnd(input: Uint8Array): number {
  const length = input[0] ?? 0;
  const tag = input.subarray(1, 1 + length);
  return new DataView(tag.buffer, tag.byteOffset).getUint8(length - 1);
}

export const toyTargets: Target[] = [
  toy('throws', '\u0003abc', (input) => verdict(() => readPastTheEnd(input))),
  // Six bytes must be right together, and only coverage shows that one more is.
  toy('maze', 'wrong way', (input) => {
    if ((input[0] ?? 0) % 8 !== 1) return 'refused:no';
    if ((input[1] ?? 0) % 8 !== 3) return 'refused:no';
    if ((input[2] ?? 0) % 8 !== 5) return 'refused:no';
    if ((input[3] ?? 0) % 8 !== 2) return 'refused:no';
    if ((input[4] ?? 0) % 8 !== 6) return 'refused:no';
    if ((input[5] ?? 0) % 8 !== 4) return 'refused:no';
    throw new TypeError('the end of the maze');
  }),
  toy('hangs', 'a word', (input) => {
    while (input[0] === 0x80);
    return 'accepted';
  }),
  toy('hoards', 'a word', (input) => {
    kept.push(new Uint8Array(4096), input);
    return 'accepted';
  }),
  toy('rejects', '{"a":1}', async (input): Promise<Verdict> => {
    if (input.length === 0) void Promise.reject(new Error('nobody waits for this'));
    return 'accepted';
  }),
];
