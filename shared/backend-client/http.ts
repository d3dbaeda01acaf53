/** One typed HTTPS request to the backend, pinned, bounded in time and size. */
import { type Agent, request } from 'node:https';
import type * as z from 'zod';
import { errorFromFields, errorMessage, VmcError } from '../errors.ts';
import { fillPath, type Route } from '../rest-api/route.ts';

/** Unless the route says more. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export interface BackendAddress {
  /** https://host:port */
  url: string;
  /** SHA-256 of the backend's SPKI, lower-case hex. */
  pin: string;
}

export interface RouteInput<T extends Route> {
  params: z.input<T['params']>;
  body: z.input<T['body']>;
}

interface RequestOptions {
  agent: Agent;
  session?: string | undefined;
  /** Default 60 000. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** @throws VmcError: the backend's own, or 'unreachable', 'timeout', 'identity-changed', 'bad-data'. */
export async function callRoute<T extends Route>(
  address: BackendAddress,
  route: T,
  input: RouteInput<T>,
  options: RequestOptions,
): Promise<z.output<T['result']>> {
  const url = new URL(fillPath(route.path, input.params as Record<string, unknown>), address.url);
  const { status, text } = await exchange(
    url,
    route.method,
    route.method === 'GET' ? undefined : JSON.stringify(input.body),
    { ...options, maxAnswerBytes: route.maxAnswerBytes ?? MAX_ANSWER_BYTES },
  );
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new VmcError('bad-data', `The backend answered ${status} with something that is not JSON.`);
  }
  if (status >= 400) throw errorFromFields((json as { error?: unknown } | null)?.error);
  const parsed = route.result.safeParse(json);
  if (!parsed.success)
    throw new VmcError(
      'bad-data',
      `The backend's answer to ${route.method} ${route.path} is not of the agreed shape.`,
      'Are both sides of the same version?',
    );
  return parsed.data as z.output<T['result']>;
}

function exchange(
  url: URL,
  method: string,
  body: string | undefined,
  options: RequestOptions & { maxAnswerBytes: number },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(asVmcError(error, url));
    const timeoutMs = options.timeoutMs ?? 60_000;
    const sent = request(
      url,
      {
        method,
        agent: options.agent,
        headers: {
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...(options.session === undefined ? {} : { authorization: `Bearer ${options.session}` }),
        },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > options.maxAnswerBytes)
            sent.destroy(new VmcError('bad-data', 'The answer of the backend is too large.'));
          else chunks.push(chunk);
        });
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
        answer.on('error', fail);
      },
    );
    const timer = setTimeout(
      () =>
        sent.destroy(
          new VmcError(
            'timeout',
            `The backend at ${url.host} gave no answer within ${Math.round(timeoutMs / 1000)} s.`,
          ),
        ),
      timeoutMs,
    );
    sent.on('close', () => clearTimeout(timer));
    sent.on('error', fail);
    sent.end(body);
  });
}

export function asVmcError(error: unknown, url: URL): VmcError {
  if (error instanceof VmcError) return error;
  if (error instanceof Error && error.name === 'AbortError') return new VmcError('cancelled', 'Cancelled.');
  return new VmcError(
    'unreachable',
    `The backend at ${url.host} cannot be reached: ${errorMessage(error)}.`,
    'Is it running, and is the address right?',
    { cause: error },
  );
}
