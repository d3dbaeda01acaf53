/** How one REST route is declared: server and client read the same table. */
import * as z from 'zod';

/** none: before sign-in · user: any signed-in account · admin: super-admin or admin. Ownership is checked by each handler. */
export type RouteAuth = 'none' | 'user' | 'admin';

export interface Route<
  P extends z.ZodType = z.ZodType,
  B extends z.ZodType = z.ZodType,
  R extends z.ZodType = z.ZodType,
> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With `:name` parameters, each one in `params`. */
  readonly path: `/v1/${string}`;
  readonly summary: string;
  readonly auth: RouteAuth;
  readonly params: P;
  readonly body: B;
  readonly result: R;
  /** Of a request; default 64 KiB. Such a body is read only of who is signed in. */
  readonly maxBodyBytes?: number;
  /** Of an answer; default 4 MiB. */
  readonly maxAnswerBytes?: number;
}

export const none = z.strictObject({});

export function defineRoute<P extends z.ZodType, B extends z.ZodType, R extends z.ZodType>(
  route: Route<P, B, R>,
): Route<P, B, R> {
  return route;
}

/** `/v1/vms/:vmId` and {vmId} → `/v1/vms/vm-0123456789ab`. */
export function fillPath(path: string, params: Record<string, unknown>): string {
  return path.replace(/:([a-zA-Z]+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
}
