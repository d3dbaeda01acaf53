import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { routes } from '../../../shared/rest-api/index.ts';
import { Fixture } from './fixture.ts';

interface Answer {
  status: number;
  json: { error?: { code: string; message: string; hint?: string } };
}

/** As a program would that knows nothing of our client. */
function raw(fixture: Fixture, method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const sent = request(
      new URL(path, fixture.backend.url),
      { method, headers, rejectUnauthorized: false, agent: new Agent({ keepAlive: false }) },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, json: JSON.parse(text) }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
const json = { 'content-type': 'application/json' };

t.test('errors have one shape: unknown path, no session, bad bodies, too large', async (t) => {
  const fixture = await Fixture.start(t);
  t.match(await raw(fixture, 'GET', '/v1/nothing%07?a=b'), {
    status: 404,
    json: { error: { code: 'not-found' } },
  });
  t.match(
    fixture.logged.find((line) => line.event === 'unknown path'),
    { fields: { path: '/v1/nothing%07' } },
  );
  t.match(await raw(fixture, 'GET', '/v1/me'), { status: 401, json: { error: { code: 'unauthenticated' } } });
  t.match(await raw(fixture, 'POST', '/v1/claim', 'not json', json), {
    status: 400,
    json: { error: { code: 'bad-request' } },
  });
  t.match(await raw(fixture, 'POST', '/v1/claim', '{"code":"0123456789abcdef","name":"Älice"}', json), {
    status: 400,
    json: { error: { code: 'bad-request', message: /name/ } },
  });
  t.match(await raw(fixture, 'POST', '/v1/claim', '{"__proto__":{"a":1}}', json), { status: 400 });
  t.match(await raw(fixture, 'POST', '/v1/claim', 'x=1', { 'content-type': 'text/csv' }), { status: 415 });
  const large = JSON.stringify({ code: 'x'.repeat(70_000) });
  t.match(await raw(fixture, 'POST', '/v1/claim', large, json), { status: 413, json: { error: {} } });
});

t.test('ids that are no ids never reach a handler', async (t) => {
  const fixture = await Fixture.start(t);
  const alice = await fixture.firstPerson();
  for (const vmId of ['vm-1', '../hosts', "vm-0' OR 1=1", 'x'.repeat(99)])
    await t.rejects(
      alice.client.call(routes.vmGet, { params: { vmId }, body: {} }),
      { code: 'bad-request', message: /vmId/ },
      vmId,
    );
});

t.test('a wrong pin: the client sends nothing at all', async (t) => {
  const fixture = await Fixture.start(t);
  const wrong = fixture.client('0'.repeat(64));
  await t.rejects(wrong.call(routes.challenge, { params: {}, body: {} }), {
    code: 'identity-changed',
    hint: /backend pin/,
  });
  t.notOk(fixture.logged.some((line) => line.event === 'request'));
});

t.test('TLS 1.3 only, with the post-quantum hybrid', async (t) => {
  const fixture = await Fixture.start(t);
  const { port } = new URL(fixture.backend.url);
  const handshake = (maxVersion: 'TLSv1.2' | 'TLSv1.3') =>
    new Promise<string | null>((resolve, reject) => {
      const socket = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false, maxVersion }, () => {
        resolve(socket.getProtocol());
        socket.destroy();
      });
      socket.on('error', reject);
    });
  await t.rejects(handshake('TLSv1.2'));
  t.equal(await handshake('TLSv1.3'), 'TLSv1.3');
});

t.test('strangers are held to a rate; those who are signed in are not', async (t) => {
  const fixture = await Fixture.start(t, { limits: { unauthenticatedPerMinute: 5 } });
  const alice = await fixture.firstPerson(); // three of the five
  const ask = () => raw(fixture, 'POST', '/v1/session/challenge', '{}', json);
  t.equal((await ask()).status, 200);
  t.equal((await ask()).status, 200);
  t.match(await ask(), { status: 429, json: { error: { code: 'limit' } } });
  t.equal((await alice.client.call(routes.me, { params: {}, body: {} })).name, 'alice');
  fixture.skewMs = 61_000;
  t.equal((await ask()).status, 200);
});

t.test('connections from one address are bounded', async (t) => {
  const fixture = await Fixture.start(t, { limits: { connectionsPerAddress: 1 } });
  const client = fixture.client();
  await client.call(routes.challenge, { params: {}, body: {} }); // kept alive
  await t.rejects(raw(fixture, 'GET', '/v1/me'));
  await client.call(routes.challenge, { params: {}, body: {} });
});

t.test('log and database hold no session token, no code and no drive key', async (t) => {
  const fixture = await Fixture.start(t);
  const code = fixture.announced.join().split(' --code ')[1] ?? '';
  const alice = await fixture.firstPerson();
  const { session } = await alice.client.signIn(alice.identity);
  const kept = readdirSync(fixture.stateDir).map((name) => readFileSync(join(fixture.stateDir, name), 'latin1'));
  const everything = [...kept, JSON.stringify(fixture.logged)].join();
  t.ok(everything.includes('alice'), 'it is the right place to look');
  t.notOk(everything.includes(session));
  t.notOk(everything.includes(Buffer.from(session, 'base64url').toString('latin1')));
  t.notOk(everything.includes(code));
});

t.test('a port that is taken: an error, and nothing left open', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await t.rejects(Fixture.start(t, { listen: { address: '127.0.0.1', port } }), {
    code: 'port-in-use',
    message: new RegExp(String(port)),
  });
});
