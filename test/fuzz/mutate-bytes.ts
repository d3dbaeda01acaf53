/** Mutations of plain bytes. Each gives a new array and leaves the old one alone. */
import { concatBytes } from '../../shared/bytes.ts';
import type { Random } from './random.ts';

const EDGE_BYTES = [0, 1, 0x0a, 0x0d, 0x20, 0x22, 0x2e, 0x30, 0x39, 0x5c, 0x7f, 0x80, 0xc0, 0xfe, 0xff];
const EDGE_NUMBERS = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0x7fffffffn,
  0x80000000n,
].concat([0xffffffffn, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]);

type Mutation = (input: Uint8Array, random: Random, other: Uint8Array, words: readonly Uint8Array[]) => Uint8Array;

function changed(input: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array {
  const copy = input.slice();
  if (copy.length > 0) change(copy);
  return copy;
}

function inserted(input: Uint8Array, at: number, what: Uint8Array): Uint8Array {
  return concatBytes(input.subarray(0, at), what, input.subarray(at));
}

function piece(from: Uint8Array, random: Random): Uint8Array {
  const start = random.below(from.length + 1);
  return from.subarray(start, start + random.size(from.length - start + 1));
}

const flipBit: Mutation = (input, random) =>
  changed(input, (copy) => {
    const at = random.below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  });
const setByte: Mutation = (input, random) =>
  changed(input, (copy) => {
    copy[random.below(copy.length)] = random.chance(0.5) ? random.pick(EDGE_BYTES) : random.below(256);
  });
/** A number of 1, 2, 4 or 8 bytes, either end first: lengths, times, counts. */
const setNumber: Mutation = (input, random) =>
  changed(input, (copy) => {
    const width = random.pick([1, 2, 4, 8]);
    const at = random.below(copy.length);
    const bigEndian = random.chance(0.7);
    let value = random.pick(EDGE_NUMBERS) + BigInt(random.below(3) - 1);
    for (let i = 0; i < width; i++) {
      const index = at + (bigEndian ? width - 1 - i : i);
      if (index < copy.length) copy[index] = Number(value & 0xffn);
      value >>= 8n;
    }
  });
const truncate: Mutation = (input, random) =>
  input.slice(0, random.chance(0.3) ? Math.max(0, input.length - random.size(8)) : random.below(input.length + 1));
const extend: Mutation = (input, random) => {
  const more = random.size(4096);
  const tail = random.chance(0.5)
    ? random.bytes(Math.min(more, 64))
    : new Uint8Array(more).fill(random.pick(EDGE_BYTES));
  return concatBytes(input, tail);
};
const remove: Mutation = (input, random) => {
  const start = random.below(input.length + 1);
  return concatBytes(input.subarray(0, start), input.subarray(start + random.size(input.length - start + 1)));
};
const insertRandom: Mutation = (input, random) =>
  inserted(input, random.below(input.length + 1), random.bytes(1 + random.below(8)));
const repeat: Mutation = (input, random) => {
  const part = piece(input, random);
  const times = random.chance(0.1) ? random.size(4096) : 1 + random.below(4);
  const count = Math.max(1, Math.min(times, Math.floor(65_536 / (part.length + 1))));
  return inserted(input, random.below(input.length + 1), concatBytes(...Array<Uint8Array>(count).fill(part)));
};
const insertWord: Mutation = (input, random, _other, words) =>
  words.length === 0 ? input : inserted(input, random.below(input.length + 1), random.pick(words));
/** The beginning of the one, the end of the other. */
const splice: Mutation = (input, random, other) =>
  concatBytes(input.subarray(0, random.below(input.length + 1)), other.subarray(random.below(other.length + 1)));
/** The same place of another input: a field of the same kind. */
const transplant: Mutation = (input, random, other) =>
  changed(input, (copy) => {
    const at = random.below(copy.length);
    copy.set(other.subarray(at, Math.min(copy.length, at + random.size(256))), at);
  });

const MUTATIONS: readonly Mutation[] = [
  ...[flipBit, flipBit, setByte, setByte, setNumber, setNumber, truncate, extend, remove],
  ...[insertRandom, repeat, insertWord, insertWord, splice, transplant],
];

export function mutateBytes(
  input: Uint8Array,
  random: Random,
  other: Uint8Array,
  words: readonly Uint8Array[],
): Uint8Array {
  let mutated = input;
  do mutated = random.pick(MUTATIONS)(mutated, random, other, words);
  while (random.chance(0.4));
  return mutated;
}
