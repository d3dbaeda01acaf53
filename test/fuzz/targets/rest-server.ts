/** The real backend with its store, asked without a network: routes, headers, bodies, handlers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBackend } from '../../../backend/backend.ts';
import { configSchema } from '../../../backend/config.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';
import type { Log } from '../../../shared/log.ts';
import { toBase64 } from '../../../shared/names.ts';
import { statementContexts } from '../../../shared/relay-wire.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { fillPath, type Route } from '../../../shared/rest-api/route.ts';
import { bytesOf, insist, OracleBroken, type Parser, type Verdict } from '../target.ts';
import { alice, NOON } from './people.ts';

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'] as const;
const MOST = 1_000_000;
/** Stands in an input for the session that a person has in this run. */
const SESSION = 'SESSION';

async function start() {
  const folder = mkdtempSync(join(tmpdir(), 'vmc-fuzz-rest-'));
  const config = configSchema.parse({
    publicUrl: 'https://127.0.0.1:1',
    stateDir: folder,
    sessionHours: 168,
    listen: { address: '127.0.0.1', port: 0 },
    endpoints: { address: '127.0.0.1', firstPort: 36200, lastPort: 36201 },
    limits: {
      unauthenticatedPerMinute: MOST,
      refusedPerMinute: MOST,
      ticketsPerMinute: MOST,
      vmsPerUser: MOST,
      drivesPerUser: MOST,
      snapshotsPerUser: MOST,
    },
  });
  let failed: unknown;
  let announced = '';
  const fail = (_event: string, fields?: Record<string, unknown>) => {
    failed = fields;
  };
  const log: Log = { info() {}, warn() {}, error: fail };
  const announce = (line: string) => {
    announced += line;
  };
  const { ask, pin, close } = await startBackend(config, { log, now: () => NOON, announce });
  return {
    ask,
    pin,
    code: announced.split(' --code ')[1] ?? '',
    async close() {
      await close();
      rmSync(folder, { recursive: true });
    },
    failure() {
      const was = failed;
      failed = undefined;
      return was;
    },
  };
}

type Running = Awaited<ReturnType<typeof start>>;

async function post<R extends Route>({ ask }: Running, route: R, body: unknown): Promise<Record<string, string>> {
  const answer = await ask({ method: 'POST', url: route.path, payload: body as object });
  return answer.json();
}

/** The first account, and a session of it. */
async function signIn(server: Running): Promise<string> {
  const { code } = server;
  const { ed25519, x25519, mlkem768 } = alice.public;
  const parts = [utf8(code), utf8('alice'), ed25519, x25519, mlkem768, utf8(server.pin)];
  const sign = (context: string, what: Uint8Array[]) => toBase64(signStatementNatively(alice, context, what));
  const identity = publicIdentityToJson(alice.public);
  await post(server, routes.claim, { code, name: 'alice', identity, signature: sign(statementContexts.claim, parts) });
  const { challenge = '' } = await post(server, routes.challenge, {});
  const signed = [new Uint8Array(Buffer.from(challenge, 'base64')), ed25519, utf8(server.pin)];
  const signature = sign(statementContexts.signIn, signed);
  const { session } = await post(server, routes.signIn, { ed25519: identity.ed25519, challenge, signature });
  if (session === undefined) throw new Error('no session');
  return session;
}

/** An input is an HTTP request: method and path, header lines, an empty line, the body. */
export async function openRestParser(
  requests: readonly { route: string; params: Record<string, unknown>; body: unknown }[],
): Promise<Parser> {
  const server = await start();
  let session = await signIn(server);
  const table: Record<string, Route> = routes;
  const seeds = requests.flatMap(({ route, params, body }) => {
    const { method, path } = table[route] as Route;
    const head = `${method} ${fillPath(path, params)}\r\ncontent-type: application/json`;
    const content = method === 'GET' ? '' : JSON.stringify(body);
    return [`${head}\r\nauthorization: Bearer ${SESSION}\r\n\r\n${content}`, `${head}\r\n\r\n${content}`].map(bytesOf);
  });
  return {
    seeds,
    async run(input): Promise<Verdict> {
      const text = Buffer.from(input).toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const [first = '', ...fields] = text.slice(0, end < 0 ? text.length : end).split('\r\n');
      const [word = '', target = '/'] = first.split(' ');
      const method = METHODS.find((it) => it === word) ?? 'POST';
      const headers: Record<string, string> = {};
      for (const field of fields) {
        const at = field.indexOf(':');
        // Node's own HTTP parser lets nothing else through.
        const name = field.slice(0, Math.max(0, at)).toLowerCase();
        if (/^[a-z0-9-]+$/.test(name) && name !== 'content-length')
          headers[name] = field
            .slice(at + 1)
            .trim()
            .replace(SESSION, session)
            .replace(/[^\t\x20-\x7e\x80-\xff]/g, '');
      }
      const url = target.startsWith('/') ? target.replace(/[^\x21-\x7e]/g, '') : '/';
      const payload = end < 0 ? Buffer.alloc(0) : Buffer.from(text.slice(end + 4), 'latin1');
      const answer = await server.ask({ method, url, headers, ...(payload.length > 0 ? { payload } : {}) });
      const failed = server.failure();
      if (failed !== undefined) throw new OracleBroken(`the request failed: ${JSON.stringify(failed).slice(0, 400)}`);
      insist(answer.statusCode !== 500, `status 500: ${answer.body.slice(0, 200)}`);
      insist(answer.body.length <= 256 * 1024, `an answer of ${answer.body.length} bytes`);
      if (url === '/v1/sessions' || answer.statusCode === 401) session = await renewed(server, session);
      if (answer.statusCode < 400) return 'accepted';
      insist(!answer.body.includes('    at '), 'no stack is shown');
      const { error } = answer.body === '' ? { error: { code: '' } } : (answer.json() as { error: { code: string } });
      return `refused:${answer.statusCode} ${error.code}`;
    },
    close: server.close,
  };
}

/** A request may have signed the person out. */
async function renewed(server: Running, session: string): Promise<string> {
  const answer = await server.ask({
    method: 'GET',
    url: routes.me.path,
    headers: { authorization: `Bearer ${session}` },
  });
  if (answer.statusCode === 200) return session;
  const { challenge = '' } = await post(server, routes.challenge, {});
  const parts = [new Uint8Array(Buffer.from(challenge, 'base64')), alice.public.ed25519, utf8(server.pin)];
  const signature = toBase64(signStatementNatively(alice, statementContexts.signIn, parts));
  const body = { ed25519: alice.public.ed25519.toBase64(), challenge, signature };
  return (await post(server, routes.signIn, body)).session ?? session;
}
