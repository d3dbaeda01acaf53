/** What the main thread asks of a worker, and what it hears back. */
import type { Counts } from './slot.ts';

export interface Job {
  target: string;
  seed: number;
  /** Several workers share a target: each has a part of its own, with other numbers. */
  part: number;
  /** Ends after so many inputs, those of the corpus included… */
  inputs: number;
  /** … or after so long. */
  milliseconds: number;
  /** So many of the inputs run with coverage measured, which is slow; what reaches new code joins the corpus. */
  explore: number;
  /** Inputs of earlier findings. They come first. */
  corpus: readonly Uint8Array[];
}

export type FindingKind = 'threw' | 'rejection' | 'hang' | 'stuck' | 'memory' | 'died';

export interface Finding {
  target: string;
  kind: FindingKind;
  /** Error and the place in the code, or what was measured. */
  detail: string;
  /** Undefined when it is the sum of all that is at fault. */
  input: Uint8Array | undefined;
}

export interface JobResult extends Counts {
  /** Processor time of the thread; 0 when it did not live to tell. */
  cpuMs: number;
  /** Inputs worth starting from at the end, seeds included. */
  corpus: number;
  /** Characters of source that ran, as far as that was measured. */
  reached: number;
  /** Bytes more in use at the end than after the first quarter. */
  grownBytes: number;
}

export type FromWorker =
  | { kind: 'ready'; thread: string }
  | { kind: 'finding'; finding: Finding }
  | { kind: 'done'; result: JobResult };
