/** A stranger at vmc's port, in a process of its own: it goes on until it is ended. Not a test itself. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { clientHello } from './client-hello.ts';

export interface Attack {
  kind: 'silent' | 'slow' | 'garbage' | 'churn';
  port: number;
  /** Connections at once. */
  count: number;
  /** Second part of the loopback addresses that it comes from; undefined: all from the owner's own. */
  block: number | undefined;
}

/** under-way: that many connections were made, or garbage sent. cut: the server has ended all of the slow ones. */
export type AttackTold = 'under-way' | 'cut';

const BATCH = 250;

const tell = (told: AttackTold) => void process.send?.(told);

function open({ port, block }: Attack, n: number): Socket {
  const from = block === undefined ? {} : { localAddress: `127.${block}.${n % 200}.1` };
  // What the server ends stays open at this end: that costs the server what such a peer can make it cost.
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, ...from });
  return socket.on('error', () => {});
}

const settled = (socket: Socket, event: string) =>
  Promise.race([once(socket, event).catch(() => {}), once(socket, 'close').catch(() => {})]);

async function silent(attack: Attack): Promise<void> {
  for (let made = 0; made < attack.count; made += BATCH)
    await Promise.all(Array.from({ length: BATCH }, (_, n) => settled(open(attack, made + n), 'connect')));
  tell('under-way');
}

/** One byte of a good hello at a time. */
async function slow(attack: Attack): Promise<void> {
  const hello = await clientHello('TLSv1.3');
  const ended = Array.from({ length: attack.count }, async (_, n) => {
    const socket = open(attack, n);
    await settled(socket, 'connect');
    let at = 0;
    const drip = setInterval(() => socket.write(hello.subarray(at, ++at)), 100);
    await settled(socket.resume(), 'end');
    clearInterval(drip);
    socket.destroy();
  });
  tell('under-way');
  await Promise.all(ended);
  tell('cut');
}

async function garbage(attack: Attack): Promise<void> {
  const hello = await clientHello('TLSv1.3');
  const flipped = Buffer.from(hello);
  flipped.fill(0xff, 20, 60);
  const old = await clientHello('TLSv1.2');
  const texts: (() => Buffer)[] = [
    () => old,
    () => Buffer.from('GET / HTTP/1.1\r\nHost: vm\r\n\r\n'),
    () => Buffer.from('CONNECT localhost:22 HTTP/1.1\r\n\r\n'),
    () => Buffer.from('SSH-2.0-OpenSSH_9.9\r\n'),
    () => randomBytes(3000),
    () => Buffer.concat([hello, randomBytes(500)]),
    () => Buffer.concat([Buffer.from([0x16, 3, 1, 0xff, 0xff]), randomBytes(20_000)]),
    () => flipped,
  ];
  let sent = 0;
  const one = async (n: number) => {
    for (let i = n; ; i++) {
      const socket = open(attack, i);
      socket.resume().end(texts[i % texts.length]?.() ?? hello);
      await settled(socket, 'end');
      socket.destroy();
      if (++sent === attack.count * 4) tell('under-way');
    }
  };
  await Promise.all(Array.from({ length: attack.count }, (_, n) => one(n)));
}

/** Open and close as fast as possible, by a reset and by a proper end in turn. */
async function churn(attack: Attack): Promise<void> {
  let made = 0;
  const one = async (n: number) => {
    for (let i = n; ; i++) {
      const socket = open(attack, i);
      await settled(socket, 'connect');
      if (i % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
      if (++made === attack.count) tell('under-way');
    }
  };
  await Promise.all(Array.from({ length: attack.count }, (_, n) => one(n)));
}

process.once('message', (attack: Attack) => void { silent, slow, garbage, churn }[attack.kind](attack));
process.once('disconnect', () => process.exit());
