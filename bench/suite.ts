/** A suite of measurements: all of them in every round, by turns, so that what disturbs the machine disturbs all alike. */

import type { Site } from './site.ts';
import { byFigure, type Figures, median, rounded } from './statistics.ts';

/** One thing that is measured, alone or as one of several by the same name. Its processes are started once, and are warm when the first round comes. */
export interface Measurement {
  readonly name: string;
  /** Figures that need no rounds, such as memory, are measured once, after the others. */
  readonly once?: true;
  /** Starts what it needs, warms it up and checks that what it measures is right; the site's undo ends it. */
  start(site: Site): Promise<() => Promise<Figures>>;
}

export interface Goal {
  figure: string;
  atLeast?: number;
  atMost?: number;
}

export interface Suite {
  readonly name: string;
  /** Debian packages that it runs. */
  readonly packages: readonly string[];
  /** Their services, which are not to start. */
  readonly services: readonly string[];
  readonly measurements: readonly Measurement[];
  /** The figures to hand on, in this order; the others are extras. `a.b` is the member `b` of the object `a` in the report. */
  readonly figures: readonly string[];
  /**
   * What a row of the report's `rows` is known by. A figure `rows.ours.8.up.gbps` is the column `gbps` of the row whose
   * first three are `ours`, 8 and `up`.
   */
  readonly rows?: readonly string[];
  /** Figures made of medians, such as ratios. One whose parts were not measured is undefined. */
  derive(medians: Figures): Record<string, number | undefined>;
  readonly goals: readonly Goal[];
}

export interface SuiteResult {
  medians: Record<string, number>;
  rounds: Record<string, number[]>;
}

/** Runs them all. @throws whatever a measurement throws: half a result is none. */
export async function runSuite(site: Site, suite: Suite, chosen: readonly Measurement[]): Promise<SuiteResult> {
  const results: Figures[] = [];
  const running: { name: string; round: () => Promise<Figures> }[] = [];
  for (const it of chosen.filter(({ once }) => once !== true)) {
    site.note(`starting ${it.name}`);
    running.push({ name: it.name, round: await it.start(site) });
  }
  for (let round = 1; round <= site.settings.rounds && running.length > 0; round++) {
    // There and back again: whoever comes first in one round comes last in the next.
    for (const it of round % 2 === 1 ? running : running.toReversed()) {
      site.signal.throwIfAborted();
      const figures = await it.round();
      results.push(figures);
      site.note(`round ${round} of ${site.settings.rounds}: ${it.name}: ${describe(figures)}`);
    }
  }
  for (const it of chosen.filter(({ once }) => once === true)) {
    site.note(`starting ${it.name}`);
    const figures = await (await it.start(site))();
    results.push(figures);
    site.note(`${it.name}: ${describe(figures)}`);
  }
  const rounds = byFigure(results);
  const medians = Object.fromEntries(Object.entries(rounds).map(([name, values]) => [name, median(values)]));
  for (const [name, value] of Object.entries(suite.derive(medians))) if (value !== undefined) medians[name] = value;
  return { medians, rounds };
}

const describe = (figures: Figures): string =>
  Object.entries(figures)
    .map(([name, value]) => `${name.replace(/^rows\./, '')} ${rounded(value)}`)
    .join(', ');
