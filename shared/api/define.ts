import type * as z from 'zod';
import type { Method } from '../rpc/method.ts';
import type { MethodRight } from './rights.ts';

/** A control method. Its right is one of the VM's own (see rights.ts). */
export function defineMethod<P extends z.ZodType, R extends z.ZodType>(
  method: Method<P, R, MethodRight>,
): Method<P, R, MethodRight> {
  return method;
}
