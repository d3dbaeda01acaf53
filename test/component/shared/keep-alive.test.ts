/** C1: a dead peer of a websocket shows, at both ends, over real sockets. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { HEARTBEAT, Heartbeat } from '../../../backend/net/heartbeat.ts';
import { KEEP_ALIVE, keepAlive } from '../../../shared/backend-client/keep-alive.ts';

const FAST = { lookMs: 20, pingMs: 50, deadMs: 400, probeMs: 100 };

/** @param answers whether each end answers pings. */
async function pair(t: Test, answers: { near: boolean; far: boolean }) {
  const http = createServer().listen(0, '127.0.0.1');
  await once(http, 'listening');
  const server = new WebSocketServer({ server: http, autoPong: answers.far });
  const connected = once(server, 'connection');
  const near = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, { autoPong: answers.near });
  await Promise.all([connected, once(near, 'open')]);
  const [far] = (await connected) as [WebSocket];
  for (const socket of [near, far]) socket.on('error', () => {});
  t.teardown(() => {
    near.terminate();
    far.terminate();
    server.close();
    http.close();
  });
  return { near, far };
}

t.test('C1 with the times in use a dead peer shows within 30 s, at both ends', async (t) => {
  t.ok(KEEP_ALIVE.deadMs + KEEP_ALIVE.lookMs <= 30_000, 'vmc, connect, host agent');
  t.ok(HEARTBEAT.deadAfter + HEARTBEAT.every <= 30_000, 'relay and host links');
  t.ok(KEEP_ALIVE.pingMs * 2 < KEEP_ALIVE.deadMs && HEARTBEAT.every * 2 < HEARTBEAT.deadAfter, 'one ping may be lost');
});

t.test('C1 a peer that answers nothing is given up; one that answers is kept', async (t) => {
  const dead = await pair(t, { near: true, far: false });
  const alive = await pair(t, { near: true, far: true });
  const closed = once(dead.near, 'close');
  const pongs: Buffer[] = [];
  alive.near.on('pong', (data: Buffer) => pongs.push(data));
  keepAlive(dead.near, FAST);
  keepAlive(alive.near, { ...FAST, deadMs: 60_000 });
  await closed;
  t.ok(pongs.length > 0);
  t.equal(alive.near.readyState, WebSocket.OPEN);
});

t.test('C1 who does not read, by choice, does not take the other for dead', async (t) => {
  const { near } = await pair(t, { near: true, far: true });
  near.pause();
  keepAlive(near, { ...FAST, deadMs: 2500 });
  await new Promise((resolve) => setTimeout(resolve, 3000)); // longer than what would kill it
  t.equal(near.readyState, WebSocket.OPEN);
  const pong = once(near, 'pong');
  near.resume();
  await pong;
  t.equal(near.readyState, WebSocket.OPEN);
});

t.test('C1 the relay gives up a socket that answers nothing', async (t) => {
  const { far } = await pair(t, { near: false, far: true });
  const heartbeat = new Heartbeat({ every: 20, deadAfter: 200, deadAfterUnread: 60_000 });
  t.teardown(() => heartbeat.close());
  const closed = once(far, 'close');
  heartbeat.watch(far);
  await closed;
  t.pass('it was cut');
});
