/** What the bench answers: one JSON object, or a table for a person. */
import { table } from '../shared/cli/program.ts';
import type { Machine } from './machine.ts';
import type { Settings } from './site.ts';
import { type Figures, rounded } from './statistics.ts';
import type { Goal, Suite, SuiteResult } from './suite.ts';

export interface Report {
  suite: string;
  seconds: number;
  machine: Machine;
  settings: Settings;
  goals: (Goal & { value: number; met: boolean })[];
  extra: Record<string, number>;
  rounds: Record<string, number[]>;
  rows?: Row[];
  /** The figures of the suite are beside these, by their own names. */
  [figure: string]: unknown;
}

export type Row = Record<string, string | number>;

export interface ReportParts {
  suite: Suite;
  result: SuiteResult;
  machine: Machine;
  settings: Settings;
  /** Seconds that all of it took. */
  seconds: number;
}

export function makeReport({ suite, result, machine, settings, seconds }: ReportParts): Report {
  const { medians } = result;
  const main = suite.figures.filter((name) => medians[name] !== undefined);
  const others = Object.keys(medians).filter((name) => !suite.figures.includes(name) && !isOfRow(suite, name));
  return {
    suite: suite.name,
    ...(suite.rows === undefined ? {} : { rows: makeRows(suite.rows, medians) }),
    ...nested(pick(medians, main)),
    goals: suite.goals.flatMap((goal) => judge(goal, medians[goal.figure])),
    extra: pick(medians, others),
    rounds: Object.fromEntries(Object.entries(result.rounds).map(([name, values]) => [name, values.map(rounded)])),
    machine,
    settings,
    seconds: rounded(seconds),
  };
}

const pick = (medians: Figures, names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name) => [name, rounded(medians[name] as number)]));

/** `{'a.b': 1}` as `{a: {b: 1}}`. */
function nested(figures: Figures): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(figures)) {
    const [first = '', second] = name.split('.');
    tree[first] = second === undefined ? value : { ...(tree[first] as object | undefined), [second]: value };
  }
  return tree;
}

const ROW = 'rows.';
const isOfRow = (suite: Suite, figure: string): boolean => suite.rows !== undefined && figure.startsWith(ROW);

function makeRows(keys: readonly string[], medians: Figures): Row[] {
  const rows = new Map<string, Row>();
  for (const [figure, value] of Object.entries(medians)) {
    if (!figure.startsWith(ROW)) continue;
    const words = figure.slice(ROW.length).split('.');
    const name = words.slice(0, keys.length).join('.');
    const row = rows.get(name) ?? Object.fromEntries(keys.map((key, i) => [key, numberOr(words[i] ?? '')]));
    rows.set(name, { ...row, [words.slice(keys.length).join('.')]: rounded(value) });
  }
  return [...rows.values()];
}

const numberOr = (word: string): string | number => (/^\d+$/.test(word) ? Number(word) : word);

function judge(goal: Goal, value: number | undefined): Report['goals'] {
  if (value === undefined) return [];
  const met = value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
  return [{ ...goal, value: rounded(value), met }];
}

export function reportTable(suite: Suite, report: Report): string {
  const row = (name: string, value: unknown, indent = ''): string[] => [
    indent + name,
    String(value),
    goalText(report, name),
  ];
  const main = suite.figures.flatMap((name) => {
    const value = member(report, name);
    return value === undefined ? [] : [row(name, value)];
  });
  const extra = Object.entries(report.extra).map(([name, value]) => row(name, value, '  '));
  const { machine, settings } = report;
  return [
    rowsTable(report.rows ?? []),
    table([...main, ...extra]),
    `Medians of ${settings.rounds} rounds. ${machine.cores} cores of ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}, OpenSSL ${machine.openssl}; load at the start ${machine.loadAtStart.toFixed(1)}; ${report.seconds} s in all.`,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** @param figure `a` or `a.b`. */
function member(report: Report, figure: string): unknown {
  const [first = '', second] = figure.split('.');
  const found = report[first];
  return second === undefined ? found : (found as Record<string, unknown> | undefined)?.[second];
}

function rowsTable(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  if (columns.length === 0) return '';
  return table([columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))]);
}

function goalText(report: Report, figure: string): string {
  const goal = report.goals.find((it) => it.figure === figure);
  if (goal === undefined) return '';
  const bound = goal.atLeast === undefined ? `at most ${goal.atMost}` : `at least ${goal.atLeast}`;
  return `${goal.met ? 'meets' : 'MISSES'} the goal: ${bound}`;
}
