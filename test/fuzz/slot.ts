/**
 * What a worker is doing at this moment, in memory that the main thread shares: when the worker hangs or dies, the main
 * thread can still say at which input.
 *
 *   0  inputs so far    1  accepted    2  refused    3  bytes of the present input    4  1 while a job runs
 */
const COUNTERS = 5;
export const SLOT_INPUT_BYTES = 256 * 1024;

export interface Counts {
  inputs: number;
  accepted: number;
  refused: number;
}

export class Slot {
  readonly memory: SharedArrayBuffer;
  readonly #counters: Int32Array;
  readonly #input: Uint8Array;

  constructor(memory = new SharedArrayBuffer(4 * COUNTERS + SLOT_INPUT_BYTES)) {
    this.memory = memory;
    this.#counters = new Int32Array(memory, 0, COUNTERS);
    this.#input = new Uint8Array(memory, 4 * COUNTERS);
  }

  start(): void {
    this.#counters.fill(0);
    this.#counters[4] = 1;
  }

  stop(): void {
    this.#counters[4] = 0;
  }

  begin(input: Uint8Array): void {
    this.#input.set(input.length > SLOT_INPUT_BYTES ? input.subarray(0, SLOT_INPUT_BYTES) : input);
    this.#counters[3] = input.length;
    this.#counters[0] = (this.#counters[0] ?? 0) + 1;
  }

  count(accepted: boolean): void {
    const at = accepted ? 1 : 2;
    this.#counters[at] = (this.#counters[at] ?? 0) + 1;
  }

  get busy(): boolean {
    return this.#counters[4] === 1;
  }

  get counts(): Counts {
    const [inputs = 0, accepted = 0, refused = 0] = this.#counters;
    return { inputs, accepted, refused };
  }

  /** A copy. */
  get input(): Uint8Array {
    return this.#input.slice(0, this.#counters[3]);
  }
}
