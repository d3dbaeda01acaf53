/** Prometheus' text format 0.0.4, read strictly: what promtool would complain about throws. */
export interface ParsedFamily {
  type: string;
  help: string;
  /** By label text, '' without labels. */
  samples: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`);

export function parseMetrics(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, ParsedFamily>();
  let current: { name: string; family: ParsedFamily } | undefined;
  let help: { name: string; text: string } | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const about = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
    if (about !== null) {
      const [, what, name = '', rest = ''] = about;
      if (what === 'HELP') {
        if (families.has(name)) throw new Error(`${name} comes twice`);
        help = { name, text: rest };
        continue;
      }
      if (help?.name !== name) throw new Error(`${name} has no help`);
      if (!['counter', 'gauge'].includes(rest)) throw new Error(`${name} is of no known type: ${rest}`);
      if ((rest === 'counter') !== name.endsWith('_total')) throw new Error(`${name} is a ${rest}`);
      current = { name, family: { type: rest, help: help.text, samples: new Map() } };
      families.set(name, current.family);
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`not understood: ${line}`);
    const [, name, labels = '', value = ''] = sample;
    if (current === undefined || name !== current.name) throw new Error(`${name} stands outside its family`);
    if (current.family.samples.has(labels)) throw new Error(`${name}{${labels}} comes twice`);
    const number = Number(value);
    if (!Number.isFinite(number) || number < 0) throw new Error(`${name} is ${value}`);
    current.family.samples.set(labels, number);
  }
  for (const [name, { samples }] of families) if (samples.size === 0) throw new Error(`${name} has no samples`);
  return families;
}
