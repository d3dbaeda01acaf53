/** Which blocks of code an input reaches that none reached before: V8's precise coverage, through the inspector. */
import { type Profiler, Session } from 'node:inspector';

/** The products, and the libraries that read a stranger's bytes for them. Not the fuzzer itself. */
const COUNTED =
  /\/(shared|vmc|backend|connect|host-agent)\/(?!.*\/test\/)|\/test\/fuzz\/targets\/toy\.ts$|\/node_modules\/(fast-xml-parser|smol-toml)\//;

/** From, to. */
type Range = readonly [number, number];

/** What is in both; each list sorted and without overlaps. */
function common(a: readonly Range[], b: readonly Range[]): Range[] {
  return a.flatMap(([from, to]) =>
    b.map(([start, end]): Range => [Math.max(from, start), Math.min(to, end)]).filter(([start, end]) => start < end),
  );
}

const lengthOf = (ranges: readonly Range[]): number => ranges.reduce((sum, [from, to]) => sum + to - from, 0);

export class Coverage {
  readonly #session = new Session();
  /** By function: what of it never ran. A function that is not in it never ran at all. */
  readonly #untouched = new Map<string, readonly Range[]>();
  /** Characters of source that ran. */
  reached = 0;

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    this.#take();
  }

  /** Whether code ran since the last question that never ran before. @param learn false: it stays news. */
  news(learn: boolean): boolean {
    let found = false;
    for (const { scriptId, url, functions } of this.#take()) {
      if (!COUNTED.test(url)) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const key = `${scriptId} ${whole.startOffset} ${whole.endOffset}`;
        const before = this.#untouched.get(key) ?? [[whole.startOffset, whole.endOffset]];
        // Blocks that ran as often as what is around them are not listed: only those that did not run tell anything.
        const now = common(
          before,
          ranges.filter(({ count }) => count === 0).map((it): Range => [it.startOffset, it.endOffset]),
        );
        const more = lengthOf(before) - lengthOf(now);
        if (more <= 0) continue;
        found = true;
        if (!learn) return true;
        this.#untouched.set(key, now);
        this.reached += more;
      }
    }
    return found;
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  /** Counts since the last time. For a session in its own thread the answer comes before `post` returns. */
  #take(): readonly Profiler.ScriptCoverage[] {
    let result: readonly Profiler.ScriptCoverage[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (_error, answer) => {
      result = answer?.result ?? [];
    });
    return result;
  }
}
