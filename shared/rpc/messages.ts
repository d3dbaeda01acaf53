/** JSON-RPC 2.0 messages (https://www.jsonrpc.org/specification), the parts used here, checked as they arrive. */
import * as z from 'zod';

const idSchema = z.number().int().nonnegative();
const countSchema = z.number().int().nonnegative();

/** 16 random bytes in hex: names a request that changes something, whatever channel it comes over. */
export const requestIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits');

const requestSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: idSchema,
  method: z.string().max(64),
  params: z.unknown(),
  requestId: requestIdSchema.optional(),
  after: countSchema.optional(),
});
const notificationSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  method: z.string().max(64),
  params: z.unknown(),
});
const resultSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: idSchema,
  result: z.unknown(),
  accepted: countSchema.optional(),
});
const errorSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: idSchema,
  error: z.object({ code: z.number().int(), message: z.string(), data: z.unknown().optional() }),
  accepted: countSchema.optional(),
});

export type RpcMessage =
  | {
      kind: 'request';
      id: number;
      method: string;
      params: unknown;
      requestId?: string | undefined;
      after?: number | undefined;
    }
  | { kind: 'notification'; method: string; params: unknown }
  | { kind: 'result'; id: number; result: unknown; accepted?: number | undefined }
  | { kind: 'error'; id: number; error: unknown; accepted?: number | undefined };

/** @returns undefined for anything that is not one whole, well-formed message. */
export function parseRpcMessage(bytes: Uint8Array): RpcMessage | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  if ('method' in json && 'id' in json) {
    const parsed = requestSchema.safeParse(json);
    return parsed.success
      ? { kind: 'request', ...pick(parsed.data, 'id', 'method', 'params', 'requestId', 'after') }
      : undefined;
  }
  if ('method' in json) {
    const parsed = notificationSchema.safeParse(json);
    return parsed.success ? { kind: 'notification', ...pick(parsed.data, 'method', 'params') } : undefined;
  }
  if ('error' in json) {
    const parsed = errorSchema.safeParse(json);
    if (!parsed.success) return undefined;
    return { kind: 'error', error: parsed.data.error.data, ...pick(parsed.data, 'id', 'accepted') };
  }
  const parsed = resultSchema.safeParse(json);
  return parsed.success ? { kind: 'result', ...pick(parsed.data, 'id', 'result', 'accepted') } : undefined;
}

function pick<T extends object, K extends keyof T>(object: T, ...keys: K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, object[key]])) as Pick<T, K>;
}

export function encodeRpc(message: Record<string, unknown>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ jsonrpc: '2.0', ...message }));
}
