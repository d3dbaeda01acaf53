/** Mutations of JSON that stay JSON (mostly): what gets past the parser and into the code behind it. */
import type { Random } from './random.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A place in a document. */
interface Spot {
  holder: Json[] | { [key: string]: Json };
  key: string | number;
}

/** Stands in a document for text that JSON.stringify would never write. */
const RAW = '@raw:';
const nested = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
const raw = (random: Random): string =>
  random.pick<() => string>([
    () => nested('[', ']', random.size(8000)),
    () => `${'{"a":'.repeat(random.below(2000))}1${'}'.repeat(random.below(2000))}`,
    () => '1e999',
    () => '-0',
    () => '-1e-999',
    () => '9007199254740993',
    () => '9'.repeat(random.size(4000)),
    () => `0.${'1'.repeat(400)}`,
    () => '"\\ud800"',
    () => '"\\udfff\\ud800x"',
    () => '"\\u0000"',
    () => '{"__proto__":{"type":"x","id":1}}',
    () => '{"type":1,"type":2}',
    () => '{"constructor":{"prototype":null}}',
    () => 'NaN',
    () => '\ufeff{}',
    () => '"\u2028\u202e"',
  ])();
const MAX_REPEATED_CHARS = 100_000;
const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'then',
  'length',
  'type',
  'id',
  '',
  '0',
  'a\u0000b',
];
const VALUES: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  0.5,
  2 ** 31,
  2 ** 53,
  -(2 ** 53),
  1e21,
  65536,
  '',
  '0',
  [],
  {},
];

function spotsOf(document: Json): Spot[] {
  const spots: Spot[] = [];
  const queue: Json[] = [document];
  for (let node = queue.pop(); node !== undefined && spots.length < 2000; node = queue.pop()) {
    if (typeof node !== 'object' || node === null) continue;
    for (const key of Array.isArray(node) ? node.keys() : Object.keys(node)) {
      spots.push({ holder: node, key });
      queue.push((node as Record<string | number, Json>)[key] as Json);
    }
  }
  return spots;
}

const get = ({ holder, key }: Spot): Json => (holder as Record<string | number, Json>)[key] as Json;
/** An own property also when it is called __proto__. */
function set(holder: Spot['holder'], key: string | number, value: Json): void {
  if (key !== '__proto__') (holder as Record<string | number, Json>)[key] = value;
  else Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

function mutateString(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const char = random.pick([
    '\0',
    'A',
    '=',
    '/',
    ' ',
    '\n',
    '\ud800',
    '\u202e',
    '\x1b[2J',
    '0',
    '-',
    '..',
    '"',
    '\\',
    'é',
    '😀',
  ]);
  return random.pick<() => string>([
    () => text.slice(0, at) + char + text.slice(at),
    () => text.slice(0, at) + char + text.slice(at + 1),
    () => text.slice(0, at),
    () => text + text,
    () => char.repeat(random.size(20_000)),
    () => (random.chance(0.5) ? text.toUpperCase() : text.trim().split('').reverse().join('')),
  ])();
}

function mutateValue(value: Json, random: Random): Json {
  if (typeof value === 'string' && random.chance(0.6)) return mutateString(value, random);
  if (typeof value === 'number' && random.chance(0.5)) return value + random.pick([1, -1, 0.5, 2 ** 32, -(2 ** 53)]);
  return random.chance(0.4) ? RAW + raw(random) : structuredClone(random.pick(VALUES));
}

/** What is repeated stays of a size that a target would read. */
function copies(value: Json, times: number): Json[] {
  const most = Math.ceil(MAX_REPEATED_CHARS / JSON.stringify(value).length);
  return Array<Json>(Math.min(times, most)).fill(value);
}

function change(document: Json, other: () => Json, random: Random): Json {
  const spots = spotsOf(document);
  if (spots.length === 0) return mutateValue(document, random);
  const spot = random.pick(spots);
  const { holder, key } = spot;
  switch (random.below(10)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      break;
    case 1:
      if (Array.isArray(holder)) holder.push(structuredClone(get(spot)));
      else set(holder, random.pick(NAMES), structuredClone(random.chance(0.5) ? get(spot) : random.pick(VALUES)));
      break;
    case 2: // another's value at this place
      set(holder, key, structuredClone(get(random.pick(random.chance(0.5) ? spots : [spot, ...spotsOf(other())]))));
      break;
    case 3: // many of it
      if (Array.isArray(holder)) holder.push(...copies(get(spot), random.size(200)));
      else
        for (let i = random.size(100); i > 0; i--) set(holder, mutateString(String(key), random).slice(0, 40) + i, i);
      break;
    default:
      set(holder, key, mutateValue(get(spot), random));
  }
  return document;
}

/** The text with what only stands for other text put in, and now and then a key twice. */
function print(document: Json, random: Random): string {
  let text = JSON.stringify(document) ?? 'null';
  text = text.replace(/"@raw:((?:[^"\\]|\\.)*)"/g, (_, inner: string) => JSON.parse(`"${inner}"`) as string);
  if (random.chance(0.05)) text = text.replace(/^\{("[^"]*":)/, (all, key: string) => `{${key}null,${all.slice(1)}`);
  if (random.chance(0.03)) text = ' '.repeat(random.size(60_000)) + text;
  return text;
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/**
 * @param other asked only when something is to be taken from it.
 * @returns undefined when the input is no JSON.
 */
export function mutateJson(input: string, other: () => string, random: Random): string | undefined {
  let document = parsed(input);
  if (document === undefined) return undefined;
  const second = () => parsed(other()) ?? {};
  do document = change(document, second, random);
  while (random.chance(0.4));
  return print(document, random);
}
