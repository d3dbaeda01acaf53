/** Numbers as Prometheus reads them: its text format, version 0.0.4. */
export interface Sample {
  value: number;
  /** Values come from fixed lists: never an id, a name or an address of anybody. */
  labels?: Readonly<Record<string, string>>;
}

export interface Family {
  name: string;
  help: string;
  /** A counter's name ends in `_total`. */
  type: 'counter' | 'gauge';
  samples: readonly Sample[];
}

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function renderMetrics(families: readonly Family[]): string {
  return families
    .flatMap(({ name, help, type, samples }) => [
      `# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`,
      `# TYPE ${name} ${type}`,
      ...samples.map(
        ({ value, labels }) => `${name}${labels === undefined ? '' : renderLabels(labels)} ${number(value)}`,
      ),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

const renderLabels = (labels: Readonly<Record<string, string>>): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`)
    .join(',')}}`;

const number = (value: number): string =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';

export const gauge = (name: string, help: string, value: number): Family => ({
  name,
  help,
  type: 'gauge',
  samples: [{ value }],
});

export const counter = (name: string, help: string, value: number): Family => ({
  name,
  help,
  type: 'counter',
  samples: [{ value }],
});

/** One counter with one label. */
export const counters = (
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<string, number>>,
): Family => ({
  name,
  help,
  type: 'counter',
  samples: Object.entries(values).map(([key, value]) => ({ value, labels: { [label]: key } })),
});
