/** What is fuzzed: a parser, where its bytes come from, and what it may answer. */

import { HandshakeRefused } from '../../shared/channel/refusal.ts';
import { isErrorCode, VmcError } from '../../shared/errors.ts';
import { printable } from '../../shared/run.ts';
import type { Random } from './random.ts';

/** `refused:` is followed by the kind of refusal; each new kind is worth keeping the input. */
export type Verdict = 'accepted' | `refused:${string}`;

export interface Parser {
  /** Inputs to start from; most of them valid. Always the same ones. */
  seeds: readonly Uint8Array[];
  /** Whatever it throws is a finding. */
  run(input: Uint8Array): Verdict | Promise<Verdict>;
  /** Makes a mutated input whole again (signs it, seals it), so that it gets past the first check. */
  repair?(input: Uint8Array, random: Random): Uint8Array;
  close?(): Promise<void> | void;
}

export interface Target {
  /** area/parser: also the name of its folder in the corpus. */
  name: string;
  /** Who chooses its bytes. */
  from: 'stranger' | 'peer' | 'host' | 'file';
  form: 'bytes' | 'json' | 'text';
  /**
   * Its share of the inputs that are left when every target has the least (shares.ts): 40 for plain parsing of what strangers
   * send, 10 for other plain parsing, 3 for JSON with a schema, 0 for what costs key operations, HTTP or XML.
   */
  weight: number;
  maxBytes: number;
  /** Words that mean something to it. */
  words?: readonly string[];
  open(): Parser | Promise<Parser>;
}

/** A parser gave back something that it must not give. */
export class OracleBroken extends Error {
  override name = 'OracleBroken';
}

export function insist(holds: boolean, what: string): asserts holds {
  if (!holds) throw new OracleBroken(what);
}

/** Longer than anything written for people here; what a stranger sent must not make a message grow. */
const MAX_MESSAGE_CHARS = 2_000;

/** @throws what is no proper refusal: an unknown error, or one that repeats a stranger's bytes without bounds. */
export function asRefusal(error: unknown): Verdict {
  if (!(error instanceof VmcError)) throw error;
  insist(isErrorCode(error.code) && error.code !== 'internal', `it is refused as "${error.code}"`);
  const text = `${error.message}${error.hint ?? ''}`;
  insist(text.length <= MAX_MESSAGE_CHARS, `the refusal has ${text.length} characters`);
  insist(printable(text) === text && !text.includes('\n'), 'the refusal has control characters');
  if (error instanceof HandshakeRefused) return `refused:${error.reason}`;
  return `refused:${error.code} ${error.message.replace(/"[^"]*"|\d+/g, '_').slice(0, 60)}`;
}

/** Accepted when `work` returns (false: refused without words); a refusal when it throws one. */
export function verdict(work: () => unknown): Verdict {
  try {
    return work() === false ? 'refused:no' : 'accepted';
  } catch (error) {
    return asRefusal(error);
  }
}

export async function verdictOf(work: () => Promise<unknown>): Promise<Verdict> {
  try {
    return (await work()) === false ? 'refused:no' : 'accepted';
  } catch (error) {
    return asRefusal(error);
  }
}

export const textOf = (input: Uint8Array): string => new TextDecoder().decode(input);
export const bytesOf = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
