/** How one remote method is declared: the dispatcher, the CLIs and the docs read the same table. */
import type * as z from 'zod';

export interface Method<
  P extends z.ZodType = z.ZodType,
  R extends z.ZodType = z.ZodType,
  Right extends string = string,
> {
  readonly name: string;
  /** One line for help and docs. */
  readonly summary: string;
  /** What the caller must be allowed. A method without one does not compile. */
  readonly right: Right;
  /**
   * Leaves something different behind: it must not run twice for one request. False: asking again does no harm.
   * What a changing method answers is remembered for a while: no secret belongs into it.
   */
  readonly changes: boolean;
  readonly params: P;
  readonly result: R;
  /** Sends `$progress` while it runs and stops on `$cancel`. */
  readonly progress: boolean;
}

/** What a caller passes (before zod's transforms) and gets back (after them). */
export type ParamsIn<M extends Method> = z.input<M['params']>;
export type ResultOut<M extends Method> = z.output<M['result']>;

/** `done` of `total` in `unit`; total is absent while it is not known. */
export interface Progress {
  step: string;
  done?: number | undefined;
  total?: number | undefined;
  unit?: 'bytes' | 'items' | undefined;
}

export interface CallContext {
  progress(progress: Progress): void;
  signal: AbortSignal;
}

export type Implementation<T extends Record<string, Method>, C> = {
  [K in keyof T]: (params: z.output<T[K]['params']>, context: CallContext & C) => Promise<z.input<T[K]['result']>>;
};
