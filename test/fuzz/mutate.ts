/** The next input: one of the corpus, changed in the way that fits what its target reads. */
import { mutateBytes } from './mutate-bytes.ts';
import { mutateJson } from './mutate-json.ts';
import { mutateText } from './mutate-text.ts';
import type { Random } from './random.ts';
import type { Target } from './target.ts';

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class Mutator {
  readonly #form: Target['form'];
  readonly #maxBytes: number;
  readonly #words: readonly Uint8Array[];
  /** An input of the corpus is changed thousands of times: it is decoded once. */
  readonly #texts = new WeakMap<Uint8Array, string>();

  constructor({ form, maxBytes, words = [] }: Pick<Target, 'form' | 'maxBytes' | 'words'>) {
    this.#form = form;
    this.#maxBytes = maxBytes;
    this.#words = words.map((word) => encoder.encode(word));
  }

  /** @param other for what is put together from two. Both stay as they are. */
  mutate(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
    const mutated = this.#change(input, other, random);
    return mutated.length > this.#maxBytes ? mutated.slice(0, this.#maxBytes) : mutated;
  }

  #change(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
    if (this.#form !== 'bytes' && random.chance(0.8)) {
      const change = this.#form === 'json' ? mutateJson : mutateText;
      const mutated = change(this.#textOf(input), () => this.#textOf(other), random);
      if (mutated !== undefined) return encoder.encode(mutated);
    }
    return mutateBytes(input, random, other, this.#words);
  }

  #textOf(input: Uint8Array): string {
    const known = this.#texts.get(input);
    if (known !== undefined) return known;
    const text = decoder.decode(input);
    this.#texts.set(input, text);
    return text;
  }
}
