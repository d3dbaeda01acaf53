/** Refusals are caused by strangers, as often as they like: so many are written, then only their number. Pure. */

export interface RefusalLimits {
  perMinute: number;
  /** 2000 lines are about 600 KB: strangers cannot fill a disk within its life. */
  perDay: number;
}

export const REFUSAL_LIMITS: RefusalLimits = { perMinute: 60, perDay: 2000 };

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

export class Refusals {
  readonly #limits: RefusalLimits;
  #minute = 0;
  #day = 0;
  #thisMinute = 0;
  #today = 0;
  #unwritten = 0;

  constructor(limits: RefusalLimits = REFUSAL_LIMITS) {
    this.#limits = limits;
  }

  /**
   * @param now Unix time in milliseconds.
   * @param isShort the disk is as good as full: only count.
   * @returns whether this one is to be written; else it is counted.
   */
  admit(now: number, isShort = false): boolean {
    const minute = Math.floor(now / MINUTE_MS);
    const day = Math.floor(now / DAY_MS);
    if (minute !== this.#minute) this.#thisMinute = 0;
    if (day !== this.#day) this.#today = 0;
    this.#minute = minute;
    this.#day = day;
    if (isShort || this.#thisMinute >= this.#limits.perMinute || this.#today >= this.#limits.perDay) {
      this.#unwritten++;
      return false;
    }
    this.#thisMinute++;
    this.#today++;
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
