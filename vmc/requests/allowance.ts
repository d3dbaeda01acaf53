/**
 * How often a person may cause what is written to the audit log for good: open a channel, change something. So that nobody
 * who has been let in fills the VM's disk with it, or pushes out what it tells of them. Pure.
 */
export interface AllowanceLimits {
  /** At once, after a while without. */
  burst: number;
  /** From then on. */
  perMinute: number;
}

export const ALLOWANCE: AllowanceLimits = { burst: 300, perMinute: 60 };

/** More than a VM has people. */
const MAX_PEOPLE = 1024;

export class Allowance {
  readonly #limits: AllowanceLimits;
  readonly #now: () => number;
  /** Least recently used first. */
  readonly #left = new Map<string, { count: number; at: number }>();

  /** @param now milliseconds of a clock that is never set. */
  constructor(limits: AllowanceLimits = ALLOWANCE, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** @returns false when this person has used up what they may. */
  take(person: string): boolean {
    const { burst, perMinute } = this.#limits;
    const at = this.#now();
    const before = this.#left.get(person) ?? { count: burst, at };
    const count = Math.min(burst, before.count + ((at - before.at) / 60_000) * perMinute);
    this.#left.delete(person);
    this.#left.set(person, { count: count >= 1 ? count - 1 : count, at });
    for (const oldest of this.#left.keys()) {
      if (this.#left.size <= MAX_PEOPLE) break;
      this.#left.delete(oldest);
    }
    return count >= 1;
  }
}
