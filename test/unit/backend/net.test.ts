import { EventEmitter } from 'node:events';
import t from 'tap';
import type { WebSocket } from 'ws';
import { Admission } from '../../../backend/net/admission.ts';
import { Heartbeat } from '../../../backend/net/heartbeat.ts';
import { RateLimit } from '../../../backend/net/rate-limit.ts';
import { addressBlock, plainAddress } from '../../../shared/net/addresses.ts';

t.test('B3: addresses: IPv4-mapped ones are plain ones; IPv6 is counted by /64', async (t) => {
  t.equal(plainAddress('::ffff:10.1.2.3'), '10.1.2.3');
  t.equal(plainAddress('2001:db8::1'), '2001:db8::1');
  t.equal(plainAddress(undefined), '');
  t.equal(addressBlock('10.1.2.3'), '10.1.2.3');
  t.equal(addressBlock('2001:db8:0:7::1'), addressBlock('2001:0db8::7:ffff:ffff:ffff:ffff'));
  t.not(addressBlock('2001:db8:0:7::1'), addressBlock('2001:db8:0:8::1'));
  t.equal(addressBlock('fe80::1%eth0'), 'fe80:0:0:0::/64');
  t.equal(addressBlock('::1'), '0:0:0:0::/64');
});

t.test('admission is bounded in all and for each address, and leaving twice is leaving once', async (t) => {
  const admission = new Admission(3, 2);
  const first = admission.enter('10.0.0.1');
  t.ok(first);
  t.ok(admission.enter('10.0.0.1'));
  t.notOk(admission.enter('10.0.0.1'), 'that address has enough');
  t.ok(admission.enter('10.0.0.2'));
  t.notOk(admission.enter('10.0.0.3'), 'all have enough');
  first?.();
  first?.();
  t.ok(admission.enter('10.0.0.3'));
  t.notOk(admission.enter('10.0.0.4'));
});

t.test('the rate limit refills with time, and its memory is bounded', async (t) => {
  let now = 0;
  const limit = new RateLimit(60, () => now);
  const burst = () => Array.from({ length: 100 }, () => limit.allow('10.0.0.1')).filter(Boolean).length;
  t.equal(burst(), 60);
  now += 10_000;
  t.equal(burst(), 10);
  t.ok(limit.allow('10.0.0.2'));
  for (let i = 0; i < 20_000; i++) limit.allow(`10.1.${i >> 8}.${i & 255}`);
  t.equal(burst(), 60, 'an address that was forgotten starts anew');
});

/** A socket of which only what the heartbeat uses is there. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  isPaused = false;
  readonly pings: string[] = [];
  terminated = false;
  ping(data: string): void {
    this.pings.push(data);
  }
  terminate(): void {
    this.terminated = true;
    this.emit('close');
  }
}

t.test('C1: a peer that does not answer is dead; one that is slow to read is not', async (t) => {
  const heartbeat = new Heartbeat({ every: 10, deadAfter: 60, deadAfterUnread: 60_000 });
  t.teardown(() => heartbeat.close());
  const [dead, slow, alive, ours] = [new FakeSocket(), new FakeSocket(), new FakeSocket(), new FakeSocket()];
  const watch = (socket: FakeSocket) => heartbeat.watch(socket as unknown as WebSocket);
  watch(dead);
  watch(slow).sent();
  watch(alive).sent();
  watch(ours);
  ours.isPaused = true;
  const answering = setInterval(() => alive.emit('pong', Buffer.from(alive.pings.at(-1) ?? '')), 5);
  t.teardown(() => clearInterval(answering));
  const keepRunning = setTimeout(() => {}, 5000); // the heartbeat alone keeps no process alive
  await new Promise((resolve) => dead.once('close', resolve));
  clearTimeout(keepRunning);
  t.strictSame([dead.terminated, slow.terminated, alive.terminated, ours.terminated], [true, false, false, false]);
  t.ok(alive.pings.includes('1'), 'a ping says how much was sent before it');
});
