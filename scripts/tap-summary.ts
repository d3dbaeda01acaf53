/** Reads TAP (https://testanything.org, version 14) as it is printed: what a person wants to see of it, and the counts. */

export interface Counts {
  passed: number;
  failed: number;
  /** Skipped and todo: tests that did not run. */
  notRun: number;
}

/** Feed it each line of a runner's TAP; it gives the lines to show and, in the end, the counts of all assertions. */
export class TapSummary {
  readonly counts: Counts = { passed: 0, failed: 0, notRun: 0 };
  /** Top-level points: one a test file. */
  files = 0;
  #diagnostic = false;

  line(line: string): string[] {
    if (this.#diagnostic) {
      if (/^\s*\.\.\.$/.test(line)) this.#diagnostic = false;
      return [line];
    }
    const point = /^(\s*)(not )?ok \d+(?: - )?(.*)$/.exec(line);
    if (point === null) return /^Bail out!/.test(line) ? [line] : [];
    const [, indent = '', not, rest = ''] = point;
    const isFile = indent === '';
    const isGroup = /# time=/.test(rest) && !isFile;
    if (/ # (SKIP|TODO)/i.test(rest)) {
      this.counts.notRun++;
      return [line];
    }
    if (isFile) {
      this.files++;
      return [
        `${not === undefined ? 'ok    ' : 'FAILED'} ${rest.replace(/ # time=([\d.]+)(m?s)/, '  ($1 $2)').replace(/ \{$/, '')}`,
      ];
    }
    if (not !== undefined) {
      // a failing group only repeats what failed in it
      if (!isGroup) this.counts.failed++;
      this.#diagnostic = !isGroup;
      return [line];
    }
    if (!isGroup) this.counts.passed++;
    return [];
  }
}
