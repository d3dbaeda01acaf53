/**
 * Refusals are caused by strangers, as often as they like: so many are written, then only their number. One of those who
 * cause them gets half of the lines at most, so that nobody hides others' refusals behind their own. Pure.
 */

export interface RefusalLimits {
  perMinute: number;
  /** 2000 lines are about 600 KB: strangers cannot fill a disk within its life. */
  perDay: number;
}

export const REFUSAL_LIMITS: RefusalLimits = { perMinute: 60, perDay: 2000 };

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Lines that were written, in all and for each who caused them. */
class Lines {
  #all = 0;
  readonly #of = new Map<string, number>();

  isFull(who: string, most: number): boolean {
    return this.#all >= most || (this.#of.get(who) ?? 0) >= most / 2;
  }

  add(who: string): void {
    this.#all++;
    this.#of.set(who, (this.#of.get(who) ?? 0) + 1);
  }
}

export class Refusals {
  readonly #limits: RefusalLimits;
  #minute = 0;
  #day = 0;
  #thisMinute = new Lines();
  #today = new Lines();
  #unwritten = 0;

  constructor(limits: RefusalLimits = REFUSAL_LIMITS) {
    this.#limits = limits;
  }

  /**
   * @param now Unix time in milliseconds.
   * @param who caused it. @param isShort the disk is as good as full: only count.
   * @returns whether this one is to be written; else it is counted.
   */
  admit(now: number, who: string, isShort = false): boolean {
    const minute = Math.floor(now / MINUTE_MS);
    const day = Math.floor(now / DAY_MS);
    if (minute !== this.#minute) this.#thisMinute = new Lines();
    if (day !== this.#day) this.#today = new Lines();
    this.#minute = minute;
    this.#day = day;
    const { perMinute, perDay } = this.#limits;
    if (isShort || this.#thisMinute.isFull(who, perMinute) || this.#today.isFull(who, perDay)) {
      this.#unwritten++;
      return false;
    }
    this.#thisMinute.add(who);
    this.#today.add(who);
    return true;
  }

  /** How many were only counted; 0 while their minute goes on. */
  takeUnwritten(now: number): number {
    if (Math.floor(now / MINUTE_MS) === this.#minute) return 0;
    return this.takeAll();
  }

  takeAll(): number {
    const unwritten = this.#unwritten;
    this.#unwritten = 0;
    return unwritten;
  }
}
