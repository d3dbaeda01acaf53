/** What every transport has to give a channel: run over memory here, over WebSockets in test/component. Not a test itself. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { equalBytes } from '../../../shared/bytes.ts';
import type { Channel } from '../../../shared/channel/channel.ts';
import { type KeyLimits, MAX_MESSAGE, MAX_RECORD_PLAINTEXT } from '../../../shared/channel/limits.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel, openChannel } from '../../../shared/channel/run-handshake.ts';
import type { Transport } from '../../../shared/channel/transport.ts';
import { native } from '../../../shared/identity/native.ts';
import { alice, type Pairing, vm } from './peers.ts';

export type MakePair = () => Promise<[Transport, Transport]>;

const BOTH_NATIVE: Pairing = { initiator: native, responder: native };

export async function channelPair(
  [ours, theirs]: [Transport, Transport],
  { initiator, responder } = BOTH_NATIVE,
  limits?: KeyLimits,
): Promise<[Channel, Channel]> {
  const common = limits === undefined ? {} : { limits };
  const open = { identity: alice, peer: vm.public.ed25519, purpose: 'files' as const, cryptography: initiator };
  const accept = { identity: vm, authorize: () => true, replayCache: new ReplayCache(), cryptography: responder };
  return await Promise.all([
    openChannel(ours, { ...open, ...common }),
    acceptChannel(theirs, { ...accept, ...common }),
  ]);
}

const closed = { code: 'channel-closed' };
const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

/** @param pairing which cryptography either side uses. */
export function channelContract(t: Test, makePair: MakePair, pairing = BOTH_NATIVE): void {
  t.test('both sides know who and what for', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    t.same([a.peer, a.purpose], [vm.public.ed25519, 'files']);
    t.same([b.peer, b.purpose], [alice.public.ed25519, 'files']);
    await Promise.all([a.close(), b.close()]);
  });

  t.test('messages go both ways, whole, in order, empty ones and 1 MiB too', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    const sizes = [0, 1, MAX_RECORD_PLAINTEXT, MAX_RECORD_PLAINTEXT + 1, MAX_MESSAGE, 0, 7];
    const messages = sizes.map((size) => new Uint8Array(randomBytes(size)));
    await Promise.all(
      [
        [a, b],
        [b, a],
      ].map(async ([from, to]) => {
        const sent = Promise.all(messages.map((message) => from?.send(message)));
        for (const message of messages)
          t.ok(equalBytes((await to?.receive()) ?? of(), message), `${message.length} bytes`);
        await sent;
      }),
    );
    await Promise.all([a.close(), b.close()]);
  });

  t.test('keys are replaced under way, in both directions', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing, { records: 3, bytes: 100_000 });
    const echo = (async () => {
      for (let m = await b.receive(); m !== undefined; m = await b.receive()) await b.send(m);
    })();
    for (let i = 0; i < 20; i++) {
      const message = new Uint8Array(i * 9_000).fill(i);
      await a.send(message);
      t.ok(equalBytes((await a.receive()) ?? of(), message));
    }
    await a.close();
    await echo;
  });

  t.test('a close shows as an end, after all that was sent before it, on both sides', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    await a.send(of(1));
    const bye = a.close();
    t.same(await b.receive(), of(1));
    t.equal(await b.receive(), undefined);
    t.equal(await b.receive(), undefined);
    await bye;
    t.equal(await a.receive(), undefined);
    await t.rejects(a.send(of(2)), closed);
    await t.rejects(b.send(of(2)), closed);
    await b.close();
  });

  t.test('who closes still gets what was under way', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    await b.send(of(1));
    const waiting = a.receive();
    const bye = a.close();
    t.same(await waiting, of(1));
    t.equal(await b.receive(), undefined);
    await bye;
  });

  t.test('both may close at once, and more than once', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    await Promise.all([a.close(), b.close(), a.close(), b.close()]);
    t.equal(await a.receive(), undefined);
    t.equal(await b.receive(), undefined);
  });

  t.test('an abort is a cut for both, never an end', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    const [here, there] = [a.receive(), b.receive()];
    a.abort();
    await t.rejects(here, closed);
    await t.rejects(there, closed);
    await t.rejects(a.send(of(1)), closed);
    await t.rejects(b.receive(), closed, 'and stays one');
    await Promise.all([a.close(), b.close()]);
  });

  t.test('a transport that just ends is a cut', async (t) => {
    const pair = await makePair();
    const [a, b] = await channelPair(pair, pairing);
    await a.send(of(1));
    t.same(await b.receive(), of(1));
    pair[0].close();
    await t.rejects(b.receive(), closed);
    await b.close();
  });

  t.test('sending waits for a slow receiver, and a cut frees who waits', async (t) => {
    const [a, b] = await channelPair(await makePair(), pairing);
    let sent = 0;
    const flood = (async () => {
      for (; sent < 200; sent++) await a.send(new Uint8Array(MAX_MESSAGE));
    })();
    await Promise.race([flood, settled(() => sent)]);
    t.ok(sent < 100, `${sent} MiB were taken with nobody reading`);
    b.abort();
    await t.rejects(flood, closed);
  });
}

/** Resolves when a number has not changed for a while. */
async function settled(read: () => number): Promise<void> {
  for (let last = -1; last !== read(); ) {
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
