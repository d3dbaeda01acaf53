/** Mutations of text in lines and fields: /proc, configuration, HTTP heads, XML. */
import type { Random } from './random.ts';

const FIELDS = [
  '',
  '0',
  '-1',
  '1',
  '65535',
  '65536',
  '99999',
  '00000000',
  'FFFFFFFF',
  '1e9',
  '4294967296',
  '9'.repeat(400),
].concat(
  [
    '18446744073709551616',
    'a',
    '..',
    '/',
    '*',
    '::',
    '0x7f',
    '=',
    '"',
    "'",
    '<',
    '>',
    '&lt;',
    '\\040',
    '\\777',
    '\0',
    '\t',
    '\r',
  ],
  ['\x1b[2J', '\ud83d\ude00', '\u2028', 'x'.repeat(5000), '__proto__', 'constructor'],
);

/** What is repeated stays of a size that a target would read: no target takes more than 80,000 bytes. */
const MAX_REPEATED_CHARS = 100_000;
const copies = (text: string, times: number): string[] =>
  Array<string>(Math.min(times, Math.ceil(MAX_REPEATED_CHARS / (text.length + 1)))).fill(text);

/** Separators stay in the list, so that joining it gives the text back. */
const fieldsOf = (text: string): string[] => text.split(/([\s=:/,."'<>]+)/);

function mutateLine(line: string, random: Random): string {
  const fields = fieldsOf(line);
  const at = random.below(fields.length);
  switch (random.below(5)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(at, 0, random.pick(FIELDS));
      break;
    case 2:
      fields.splice(at, 0, ...copies(fields[at] ?? '', random.size(200)));
      break;
    default:
      fields[at] = random.pick(FIELDS);
  }
  return fields.join('');
}

function change(lines: string[], others: () => readonly string[], random: Random): void {
  const at = random.below(lines.length);
  const line = lines[at] ?? '';
  switch (random.below(7)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1: // twice, or very often
      lines.splice(at, 0, ...copies(line, random.chance(0.2) ? random.size(3000) : 1));
      break;
    case 2:
      lines.splice(at, 0, random.pick(others()));
      break;
    case 3: {
      const with_ = random.below(lines.length);
      lines[at] = lines[with_] ?? '';
      lines[with_] = line;
      break;
    }
    default:
      lines[at] = mutateLine(line, random);
  }
}

/** @param other asked only when something is to be taken from it. */
export function mutateText(input: string, other: () => string, random: Random): string {
  const newline = input.includes('\r\n') ? '\r\n' : '\n';
  const lines = input.split(newline);
  const others = () => other().split(newline);
  do change(lines, others, random);
  while (random.chance(0.4));
  return lines.join(random.chance(0.02) ? '\n' : newline);
}
