/** What is made of the figures of several rounds. Pure. */
export type Figures = Readonly<Record<string, number>>;

/** The middle one; of an even count the mean of the two in the middle. @throws RangeError for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values, no median');
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] as number;
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
}

/** Every figure's values in the order of the rounds. */
export function byFigure(rounds: readonly Figures[]): Record<string, number[]> {
  const values: Record<string, number[]> = {};
  for (const round of rounds)
    for (const [name, value] of Object.entries(round)) {
      values[name] ??= [];
      values[name].push(value);
    }
  return values;
}

/** Three significant digits and never an exponent: more would be noise. */
export function rounded(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}

/** The CPU numbers in a list like `0-3,8`, as the kernel writes it (cpuset(7), "List format"). */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((part) => {
      const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
      if (first === undefined) return [];
      const from = Number(first);
      return Array.from({ length: Number(last ?? first) - from + 1 }, (_, i) => from + i);
    });
}
