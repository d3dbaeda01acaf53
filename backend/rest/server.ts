/** HTTPS with every route of the table on it. Handlers know nothing of HTTP. */
import type { Server } from 'node:https';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { publicError, VmcError } from '../../shared/errors.ts';
import { errorFields, type Log } from '../../shared/log.ts';
import { plainAddress } from '../../shared/net/addresses.ts';
import { ERROR_STATUS, routes } from '../../shared/rest-api/index.ts';
import type { Route } from '../../shared/rest-api/route.ts';
import { printable } from '../../shared/run.ts';
import { describeIssues } from '../../shared/validate.ts';
import type { FrontDoor } from '../net/front-door.ts';
import type { RateLimit } from '../net/rate-limit.ts';
import { REQUEST_TIMEOUT_MS, tlsServerOptions } from '../net/tls-server.ts';
import type { ServerKeys } from '../state-folder.ts';
import type { Store } from '../store/store.ts';
import { type Caller, type Handlers, RestRequest } from './handler.ts';
import { LargeRequests } from './large-requests.ts';
import { findCaller, requireAuth } from './sessions.ts';

const MAX_BODY_BYTES = 64 * 1024;

export interface RestDeps {
  keys: ServerKeys;
  store: Store;
  handlers: Handlers;
  log: Log;
  now: () => number;
  frontDoor: FrontDoor;
  /** By address: requests before sign-in. */
  strangers: RateLimit;
  /** By address or account: requests that were refused. */
  refusals: RateLimit;
}

export type RestServer = FastifyInstance<Server>;

export function makeRestServer(deps: RestDeps): RestServer {
  const { keys, log, frontDoor, strangers } = deps;
  const app: RestServer = Fastify({
    https: tlsServerOptions(keys),
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: 60_000,
    forceCloseConnections: true,
    logger: false,
  });
  frontDoor.guard(app.server);
  const running = new Set<Promise<unknown>>();
  const large = new LargeRequests();
  app.addHook('onClose', async () => void (await Promise.allSettled(running)));
  for (const [name, route] of Object.entries(routes)) {
    const handle = deps.handlers[name as keyof Handlers] as AnyHandler;
    app.route({
      method: route.method,
      url: route.path,
      bodyLimit: route.maxBodyBytes ?? MAX_BODY_BYTES,
      ...(isLarge(route)
        ? { onRequest: async (request, reply) => admitLarge(deps, large, route, request, reply) }
        : {}),
      handler: async (request, reply) => {
        const address = plainAddress(request.socket.remoteAddress);
        if (route.auth === 'none' && !strangers.allow(address))
          throw new VmcError('limit', 'Too many requests from this address.', 'Wait a minute.');
        reply.header('cache-control', 'no-store');
        const gone = new AbortController();
        reply.raw.once('close', () => gone.abort());
        const answered = answer(deps, { name, route, handle }, request, address, gone.signal);
        running.add(answered);
        return answered.finally(() => running.delete(answered));
      },
    });
  }
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, log));
  app.setNotFoundHandler((request, reply) => {
    refuseTooMany(deps, plainAddress(request.socket.remoteAddress));
    const path = printable(request.url.split('?')[0] ?? '').slice(0, 200);
    log.info('unknown path', { method: request.method, path });
    const error = new VmcError('not-found', 'There is nothing at this path.', 'Are both sides of the same version?');
    return reply.status(404).send({ error: error.toJSON() });
  });
  app.addHook('onResponse', async (request, reply) => {
    frontDoor.guest(request.socket)?.heard();
    if (request.routeOptions.url === undefined) return;
    log.info('request', {
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
    });
  });
  return app;
}

type AnyHandler = (input: { params: unknown; body: unknown }, request: RestRequest) => Promise<unknown>;

interface Entry {
  name: string;
  route: Route;
  handle: AnyHandler;
}

/** Who asks. @throws VmcError 'unauthenticated', 'forbidden', 'limit'. */
function admit(deps: RestDeps, route: Route, request: FastifyRequest, address: string): Caller | undefined {
  const caller = findCaller(deps.store, request.headers.authorization, deps.now());
  if (caller !== undefined) deps.frontDoor.guest(request.socket)?.known();
  else if (route.auth !== 'none') refuseTooMany(deps, address);
  requireAuth(route.auth, caller);
  return caller;
}

const isLarge = ({ maxBodyBytes, maxAnswerBytes }: Route): boolean =>
  maxBodyBytes !== undefined || maxAnswerBytes !== undefined;

/** Before a byte of the body is read. */
function admitLarge(
  deps: RestDeps,
  large: LargeRequests,
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const caller = admit(deps, route, request, plainAddress(request.socket.remoteAddress));
  if (caller !== undefined)
    reply.raw.once(
      'close',
      large.enter(caller.account.userId, () => request.socket.destroy()),
    );
}

/** Who may comes first; then what was sent is looked at; what happened goes to the audit log. */
async function answer(
  deps: RestDeps,
  { name, route, handle }: Entry,
  request: FastifyRequest,
  address: string,
  gone: AbortSignal,
): Promise<unknown> {
  const { store, now } = deps;
  const caller = admit(deps, route, request, address);
  const params = parse(route.params, request.params ?? {});
  const rest = new RestRequest(address, route.auth === 'none' ? undefined : caller, firstValue(params), gone);
  const audit = (result: string) => {
    if (route.method === 'GET' || rest.actor === undefined) return;
    store.audit.add({ at: now(), actor: rest.actor, action: name, target: rest.target ?? null, result });
  };
  try {
    const result = await handle({ params, body: parse(route.body, request.body ?? {}) }, rest);
    audit('ok');
    return result;
  } catch (error) {
    const { code } = publicError(error);
    audit(code);
    if (caller !== undefined && (code === 'not-found' || code === 'forbidden'))
      refuseTooMany(deps, caller.account.userId);
    throw error;
  }
}

/** @throws VmcError 'bad-request' that names the fields at fault, never their values. */
function parse(schema: Route['params'], value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new VmcError('bad-request', `${describeIssues(parsed.error)}.`);
  return parsed.data;
}

/** The id in the path. */
function firstValue(params: unknown): string | undefined {
  const [value] = Object.values(params as Record<string, unknown>);
  return typeof value === 'string' ? value : undefined;
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  const status = (error as { statusCode?: unknown }).statusCode;
  if (!(error instanceof VmcError) && typeof status === 'number' && status >= 400 && status < 500) {
    const refused = new VmcError('bad-request', `The request cannot be read (status ${status}).`);
    return reply.status(status).send({ error: refused.toJSON() });
  }
  const fields = publicError(error);
  if (!(error instanceof VmcError))
    log.error('request failed', { route: request.routeOptions.url, ...errorFields(error) });
  return reply.status(ERROR_STATUS[fields.code] ?? 500).send({ error: fields });
}

/** Refusing is cheap but not free: who asks on and on for what they do not get gets nothing but this. @throws VmcError 'limit'. */
function refuseTooMany({ refusals }: RestDeps, who: string): void {
  if (!refusals.allow(who)) throw new VmcError('limit', 'Too many of your requests were refused.', 'Wait a minute.');
}
