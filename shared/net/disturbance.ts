/**
 * Tells when connections may be dead although nothing has said so: this machine or process slept, or its addresses changed.
 * Looks every two seconds while somebody listens; needs no help from the system's own network service.
 */
import { networkInterfaces } from 'node:os';

export interface Surroundings {
  /** Unix time in milliseconds: goes on while the machine sleeps. */
  wall(): number;
  /** Milliseconds of a clock that is never set, and stands while the machine sleeps. */
  monotonic(): number;
  /** The addresses of this machine, in any order. */
  addresses(): readonly string[];
}

export type Disturbance = 'slept' | 'moved';

export const LOOK_EVERY_MS = 2_000;
/** The wall clock went so much further than the other, or the other so much further than it should. */
const SLEPT_MS = 5_000;

/** Compares what is now with what was at the last look. */
export class DisturbanceDetector {
  readonly #surroundings: Surroundings;
  readonly #everyMs: number;
  #wall: number;
  #monotonic: number;
  #addresses: string;

  constructor(surroundings: Surroundings, everyMs: number = LOOK_EVERY_MS) {
    this.#surroundings = surroundings;
    this.#everyMs = everyMs;
    this.#wall = surroundings.wall();
    this.#monotonic = surroundings.monotonic();
    this.#addresses = this.#list();
  }

  look(): Disturbance | undefined {
    const wall = this.#surroundings.wall();
    const monotonic = this.#surroundings.monotonic();
    const addresses = this.#list();
    const passed = monotonic - this.#monotonic;
    const asleep = Math.max(wall - this.#wall - passed, passed - this.#everyMs);
    const moved = addresses !== this.#addresses;
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#addresses = addresses;
    if (asleep > SLEPT_MS) return 'slept';
    return moved ? 'moved' : undefined;
  }

  #list(): string {
    return this.#surroundings.addresses().toSorted().join(' ');
  }
}

const HERE: Surroundings = {
  wall: Date.now,
  monotonic: () => performance.now(),
  addresses: () =>
    Object.entries(networkInterfaces()).flatMap(([name, all = []]) => all.map(({ address }) => `${name}=${address}`)),
};

const listeners = new Set<(what: Disturbance) => void>();
let timer: NodeJS.Timeout | undefined;

/** Keeps no process alive. @returns how to stop. */
export function onDisturbance(listener: (what: Disturbance) => void): () => void {
  const entry = (what: Disturbance) => listener(what); // the same listener twice is two
  listeners.add(entry);
  if (timer === undefined) {
    const detector = new DisturbanceDetector(HERE);
    timer = setInterval(() => {
      const what = detector.look();
      if (what !== undefined) for (const each of [...listeners]) each(what);
    }, LOOK_EVERY_MS);
    timer.unref();
  }
  return () => {
    listeners.delete(entry);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
