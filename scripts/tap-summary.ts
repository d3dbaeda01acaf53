/** Reads the TAP (https://testanything.org, version 14) of a test file: what a person wants to see of it, and the counts. */

export interface Counts {
  passed: number;
  failed: number;
  /** Skipped and todo: tests that did not run. */
  notRun: number;
}

/** How the process of a test file ended. */
export interface Ending {
  /** Its exit code, or the name of the signal that ended it. */
  code: number | string;
  ms: number;
}

/** @returns the lines to show, the last of them about the file itself, and the counts of its assertions. */
export function summarise(file: string, output: string, { code, ms }: Ending): { shown: string[]; counts: Counts } {
  const lines = output.split('\n');
  const { shown, counts } = readAssertions(lines);
  const why = code !== 0 ? `it ended with ${code}` : wholePlan(lines) ? undefined : 'it ended before its tests did';
  // A file that failed without a failed assertion failed all the same.
  if (why !== undefined && counts.failed === 0) {
    counts.failed++;
    shown.push(`not ok: ${file}: ${why}`);
  }
  shown.push(`${counts.failed > 0 ? 'FAILED' : 'ok    '} ${file}  (${Math.round(ms)} ms)`);
  return { shown, counts };
}

function readAssertions(lines: readonly string[]): { shown: string[]; counts: Counts } {
  const counts: Counts = { passed: 0, failed: 0, notRun: 0 };
  const shown: string[] = [];
  let diagnostic = false;
  for (const line of lines) {
    if (diagnostic) {
      if (/^\s*\.\.\.$/.test(line)) diagnostic = false;
      shown.push(line);
      continue;
    }
    const point = /^\s*(not )?ok \d+(?: - )?(.*)$/.exec(line);
    if (point === null) {
      if (/^\s*Bail out!/.test(line) || isSaid(line)) shown.push(line);
      continue;
    }
    const [, not, rest = ''] = point;
    const isGroup = / # time=/.test(rest);
    if (/ # (SKIP|TODO)/i.test(rest)) counts.notRun++;
    else if (not === undefined) {
      if (!isGroup) counts.passed++;
      continue;
    } else if (!isGroup) {
      // a failing group only repeats what failed in it
      counts.failed++;
      diagnostic = true;
    }
    shown.push(line);
  }
  return { shown, counts };
}

/** What a test has to say: a table of what was survived, a figure. The runner's own remarks are not of interest. */
const isSaid = (line: string) => /^\s*# (?!Subtest|time=|\{ total|No coverage)\S/.test(line);

/** Whether there are tests, and all that were announced have ended. */
function wholePlan(lines: readonly string[]): boolean {
  const announced = lines.map((line) => /^1\.\.(\d+)/.exec(line)?.[1]).findLast((count) => count !== undefined);
  const ended = lines.filter((line) => /^(not )?ok \d/.test(line)).length;
  return ended > 0 && Number(announced) === ended;
}
