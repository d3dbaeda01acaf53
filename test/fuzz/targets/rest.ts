/** The backend's HTTPS: what strangers and people ask of it, and what it may answer to vmc and connect. */
import { errorFromFields } from '../../../shared/errors.ts';
import { publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { fillPath, type Route } from '../../../shared/rest-api/route.ts';
import { bytesOf, insist, type Target, textOf } from '../target.ts';
import { alice } from './people.ts';
import { openRestParser } from './rest-server.ts';

const b64 = (size: number) => Buffer.alloc(size, 7).toString('base64');
/** Fields of all routes by name: a body is made of those that its route knows. */
const FIELDS: Record<string, unknown> = {
  code: 'A'.repeat(16),
  name: 'alice',
  identity: publicIdentityToJson(alice.public),
  signature: b64(64),
  ed25519: alice.public.ed25519.toBase64(),
  challenge: b64(32),
  enrolToken: b64(32),
  vmId: 'vm-0123456789ab',
  hostId: 'host-0123456789ab',
  driveId: 'drv0123456789abcdef',
  userId: 'user-0123456789ab',
  endpointId: 'ep-0123456789ab',
  sizeBytes: 2 ** 30,
  image: 'debian-12',
  address: '127.0.0.1',
  role: 'user',
  wrappedKey: b64(64),
  confirm: 'drv0123456789abcdef',
  snapshotId: 'snap-0123456789abcdef',
  jobId: 'job-0123456789abcdef',
  version: 0,
  access: 'rw',
  allocation: 'full',
  format: 'raw',
  keys: [{ userId: 'user-0123456789ab', wrappedKey: b64(64) }],
  sealed: b64(64),
};
const keysOf = (schema: unknown): string[] => Object.keys((schema as { shape?: object }).shape ?? {});
const pick = (schema: unknown) =>
  Object.fromEntries(keysOf(schema).flatMap((key) => (key in FIELDS ? [[key, FIELDS[key]]] : [])));

const table: Record<string, Route> = routes;
const requests = Object.entries(table).map(([route, { params, body }]) => ({
  route,
  params: pick(params),
  body: pick(body),
}));

export const restTargets: Target[] = [
  {
    name: 'rest/bodies',
    from: 'stranger',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: requests.map(bytesOf),
      run: (input) => {
        const request = parsed(input);
        const route =
          typeof request?.route === 'string' && Object.hasOwn(table, request.route) ? table[request.route] : undefined;
        if (route === undefined) return 'refused:no route';
        const params = route.params.safeParse(request?.params);
        const body = route.body.safeParse(request?.body);
        if (params.success) {
          const path = fillPath(route.path, params.data as Record<string, unknown>);
          insist(!path.includes('..') && !/[?#\s]/.test(path), `a path stays what it is: ${path}`);
        }
        return params.success && body.success ? 'accepted' : 'refused:bad-request';
      },
    }),
  },
  {
    name: 'rest/answers',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: [
        { error: { code: 'busy', message: 'x', hint: 'y' } },
        { vms: [{ vmId: 'vm-0123456789ab', name: 'a', state: 'ready', ed25519: alice.public.ed25519.toBase64() }] },
        { drives: [{ driveId: 'drv0123456789abcdef', name: 'd', sizeBytes: 2 ** 30, wrappedKey: b64(64) }] },
        { session: 'A'.repeat(43), userId: 'user-0123456789ab', challenge: b64(32), expiresAt: 1 },
      ].map(bytesOf),
      run: (input) => {
        const json = parsed(input);
        const results = Object.values(table).map((route) => route.result.safeParse(json).success);
        const error = errorFromFields(json?.error);
        insist(typeof error.message === 'string', 'an error has words');
        return results.includes(true) ? 'accepted' : 'refused:shape';
      },
    }),
  },
  {
    name: 'rest/requests',
    from: 'stranger',
    form: 'text',
    weight: 0,
    maxBytes: 80_000,
    words: [
      '\r\n',
      'authorization: Bearer ',
      'content-type: application/json',
      'transfer-encoding: chunked',
      '%2e%2e',
      '__proto__',
      '?',
      '//',
    ],
    open: () => openRestParser(requests),
  },
];

function parsed(input: Uint8Array): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(textOf(input));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
