/** A relay with the right key that breaks WebSocket's rules: vmc and connect leave it at once, and come back to an honest one. */
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { makeBackoff } from '../../../shared/backoff.ts';
import { HandshakeRefused } from '../../../shared/channel/refusal.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { makeCertificate, spkiPin } from '../../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { PASS_BYTES, TICKET_BYTES } from '../../../shared/relay/ticket.ts';
import { RELAY_USER_PATH } from '../../../shared/relay-wire.ts';
import { RelayClient } from '../../../vmc/relay-client/relay-client.ts';
import { FORBIDDEN, rawFrame, rawFrames, takeOver } from './raw-frames.ts';

const CUT_MS = 8_000;
const PATIENCE_MS = 20_000;
const VM_ID = 'vm-0123456789ab';
const identity = generateIdentity();

/** When it turns hostile: in place of a message, or after the last. */
type Stage = 'challenge' | 'parked' | 'idle' | 'paired';

/** What it does at that time; undefined: it is honest, and pairs nobody. */
let turn: { stage: Stage; attack: (socket: WebSocket) => void } | undefined;
/** Answers the request for a websocket itself. */
let answerUpgrade: ((raw: Duplex) => void) | undefined;

const certificate = makeCertificate('relay', 'serverAuth', 1, new Date());
const pin = spkiPin(certificate.certificatePem);
const tls = { ...TLS_OPTIONS, cert: certificate.certificatePem, key: certificate.privateKeyPem };
const sockets = new WebSocketServer({ noServer: true });
const server = createServer(tls, (request, answer) => {
  request.resume();
  const ticket = Buffer.alloc(TICKET_BYTES).toString('base64');
  answer.end(JSON.stringify({ relays: [{ url, pin, ticket }], expiresAt: Date.now() + 60_000 }));
});
server.on('upgrade', (request, raw, head) => {
  raw.on('error', () => {});
  if (answerUpgrade !== undefined) return answerUpgrade(raw);
  sockets.handleUpgrade(request, raw, head, (socket) => {
    socket.on('error', () => {});
    if (request.url?.startsWith(RELAY_USER_PATH) === true) talk(socket, ['paired']);
    else talk(socket, ['challenge', 'parked', 'idle', 'paired']);
  });
});

function talk(socket: WebSocket, stages: readonly Stage[]): void {
  const say = (type: Stage, more: object = {}) => socket.send(JSON.stringify({ type, ...more }));
  const [stage, ...rest] = stages;
  if (stage === undefined) return;
  const attack = turn?.stage === stage ? turn.attack : undefined;
  if (stage === 'paired') {
    if (turn !== undefined) say('paired');
    setImmediate(() => attack?.(socket)); // in a record of its own
  } else if (attack !== undefined) attack(socket);
  else if (stage === 'challenge') {
    say('challenge', { challenge: Buffer.alloc(32).toString('base64') });
    socket.once('message', () => talk(socket, rest));
  } else {
    if (stage === 'parked') say('parked');
    setImmediate(() => talk(socket, rest));
  }
}

server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;

class SignedIn extends BackendClient {
  protected override session = 'signed in';
}
const client = new SignedIn({ url, pin });
t.teardown(() => {
  client.close();
  for (const socket of sockets.clients) socket.terminate();
  server.closeAllConnections();
  server.close();
});

const park = (signal?: AbortSignal) =>
  client.parkAtRelay({ url, pin }, identity, VM_ID, new Uint8Array(PASS_BYTES), signal);

/** vmc's way, as far as it comes. */
async function asVm(): Promise<never> {
  return overChannel(await (await park()).paired);
}

/** The way of `connect`. */
async function asPerson(): Promise<never> {
  return overChannel(await client.openRelayToVm(VM_ID));
}

async function overChannel(socket: WebSocket): Promise<never> {
  const transport = webSocketTransport(socket);
  await openChannel(transport, { identity, peer: identity.public.ed25519, purpose: 'control' });
  throw new Error('a channel with nobody');
}

async function refuses(t: Test, what: string, come: () => Promise<never>): Promise<void> {
  const error: unknown = await come().catch((it: unknown) => it);
  t.ok(error instanceof VmcError || error instanceof HandshakeRefused, `${what}: ${String(error)}`);
}

async function all(t: Test, stage: Stage, come: () => Promise<never>): Promise<void> {
  for (const [name, frames] of Object.entries(FORBIDDEN)) {
    const gone = Promise.withResolvers<void>();
    turn = {
      stage,
      attack: (socket) => {
        const raw = takeOver(socket);
        const late = setTimeout(() => gone.reject(new Error(`${name}: still connected`)), CUT_MS);
        for (const event of ['end', 'close'])
          raw.once(event, () => {
            clearTimeout(late);
            gone.resolve();
            raw.destroy();
          });
        raw.resume();
        raw.write(rawFrames('server', frames));
      },
    };
    await Promise.all([refuses(t, name, come), gone.promise]);
  }
  turn = undefined;
}

t.test('B1 vmc: in place of the challenge', (t) => all(t, 'challenge', asVm));
t.test('B1 vmc: in place of parking', (t) => all(t, 'parked', asVm));
t.test('B1 vmc: while it is parked', (t) => all(t, 'idle', asVm));
t.test('B1 vmc: once it is paired', (t) => all(t, 'paired', asVm));
t.test('B1 connect: once it is paired', (t) => all(t, 'paired', asPerson));

t.test('B1: answers to the request for a websocket that are none', async (t) => {
  const accepted = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';
  const answers: Record<string, string> = {
    'no key': `${accepted}\r\n`,
    'another key': `${accepted}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n`,
    'another protocol': accepted.replace('websocket', 'h2c').concat('\r\n'),
    'somewhere else': 'HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n',
    'a body without end': 'HTTP/1.1 200 OK\r\n\r\n',
    'a head without end': 'HTTP/1.1 101 OK\r\nX: ',
    SSH: 'SSH-2.0-OpenSSH_9.9\r\n',
  };
  for (const [name, text] of Object.entries(answers)) {
    answerUpgrade = (raw) => {
      raw.write(text);
      const more = () => {
        while (!raw.destroyed && raw.write('x'.repeat(10_000)));
      };
      raw.on('drain', more).resume();
      if (name.endsWith('without end')) more();
    };
    await refuses(t, name, asVm);
    await refuses(t, name, asPerson);
  }
  answerUpgrade = undefined;
});

t.test('B1: pings by the million: what is kept of the answers is bounded', async (t) => {
  const pings = Buffer.concat(Array(500).fill(rawFrame('server', { first: 0x89, payload: Buffer.alloc(125) })));
  const over = Promise.withResolvers<void>();
  turn = {
    stage: 'paired',
    attack: (socket) => {
      const raw = takeOver(socket).pause();
      raw.once('close', over.resolve);
      let sent = 0;
      const more = () => {
        while (!raw.destroyed && sent < 64 * 1024 * 1024) {
          sent += pings.length;
          if (!raw.write(pings)) return;
        }
        over.resolve();
      };
      raw.on('drain', more);
      more();
    },
  };
  const socket = await (await park()).paired;
  let most = 0;
  socket.on('ping', () => {
    most = Math.max(most, socket.bufferedAmount);
  });
  const ended = once(socket, 'close', { signal: AbortSignal.timeout(PATIENCE_MS) });
  socket.resume();
  await Promise.race([ended, over.promise]);
  t.ok(most > 0 && most < 1024 * 1024, `${most} bytes`);
  socket.terminate();
  turn = undefined;
});

t.test('C1: after all that vmc parks at the honest relay', async (t) => {
  const events = new EventEmitter();
  let troubles = 0;
  const stages: Stage[] = ['challenge', 'parked', 'idle', 'paired'];
  const hostile = (stage: Stage) => {
    const attack = (socket: WebSocket) => takeOver(socket).write(rawFrame('server', { first: 0xff }));
    turn = { stage, attack };
  };
  hostile('challenge');
  const parking = new RelayClient({
    park,
    serve: (socket) => {
      socket.terminate();
      turn = undefined;
    },
    onParked: () => events.emit('parked'),
    onTrouble: () => {
      const next = stages[++troubles];
      if (next !== undefined) hostile(next);
    },
    backoff: makeBackoff(() => 0),
    clock: () => performance.now(),
  });
  const signal = AbortSignal.timeout(PATIENCE_MS);
  t.teardown(() => parking.stop());
  parking.start();
  do await once(events, 'parked', { signal });
  while (turn !== undefined);
  t.equal(troubles, 3);
});
