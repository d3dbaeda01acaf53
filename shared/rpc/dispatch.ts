/** From a table of methods and their implementation to the one function that answers requests. */
import { VmcError } from '../errors.ts';
import { describeIssues } from '../validate.ts';
import type { CallContext, Implementation, Method } from './method.ts';
import type { Handle, HandleContext } from './peer.ts';

/** A request that changes something, and has passed every check. */
export interface ChangingRequest {
  method: string;
  params: unknown;
  context: HandleContext;
}

/** Runs the work of a request that changes something, or gives what came of it when it ran before. */
export type RunOnce = (request: ChangingRequest, work: (context: CallContext) => Promise<unknown>) => Promise<unknown>;

/**
 * @param allow throws when the caller lacks the method's right; asked before the parameters are looked at.
 * @param extra what each implementation gets beside progress and signal, e.g. who calls.
 * @param runOnce stands before every method that changes something.
 */
export function dispatcher<T extends Record<string, Method>, C extends object>(
  methods: T,
  implementation: Implementation<T, C>,
  allow: (method: Method) => void,
  extra: C,
  runOnce?: RunOnce,
): Handle {
  const byName = new Map(Object.entries(methods).map(([key, method]) => [method.name, { key, method }]));
  return async (name: string, params: unknown, context: HandleContext) => {
    const found = byName.get(name);
    if (found === undefined) throw new VmcError('not-found', `There is no method ${JSON.stringify(name)} here.`);
    allow(found.method);
    const parsed = found.method.params.safeParse(params);
    if (!parsed.success) throw new VmcError('bad-request', `${name}: ${describeIssues(parsed.error)}`);
    const implement = implementation[found.key as keyof T] as (
      params: unknown,
      context: CallContext & C,
    ) => Promise<unknown>;
    const work = ({ progress, signal }: CallContext) => implement(parsed.data, { progress, signal, ...extra });
    if (runOnce === undefined || !found.method.changes) return work(context);
    return runOnce({ method: name, params, context }, work);
  };
}
