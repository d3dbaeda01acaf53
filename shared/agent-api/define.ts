import type * as z from 'zod';
import type { Method } from '../rpc/method.ts';

/** What only the backend may ask: that is who is at the other end of the link. */
export function defineAgentMethod<P extends z.ZodType, R extends z.ZodType>(
  method: Method<P, R, 'backend'>,
): Method<P, R, 'backend'> {
  return method;
}
