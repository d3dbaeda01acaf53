/** C6: clients that say nothing, come too often, lie, or break the protocol: nobody else notices. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, chown, open, rm, stat, statfs } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import ssh2 from 'ssh2';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { openSshPublicKey } from '../../../shared/identity/fingerprint.ts';
import { inOwnEtc } from './in-own-etc.ts';
import { type Device, idleSftp, keyFile, PORT, SSH_FXP_INIT, startSite } from './sftp-site.ts';

const BOTH: Right[] = ['files', 'upload', 'download'];

/** What ssh2's client does not show, and breaks rules with. */
interface Inner {
  _sock: Socket;
  _protocol: {
    session(channel: number, window: number, packet: number): void;
    subsystem(channel: number, name: string, wantReply: boolean): void;
    channelData(channel: number, data: Buffer): void;
  };
}

async function hostileClient(device: Device) {
  const client = new ssh2.Client();
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  client.on('error', () => {});
  client.connect({ host: '127.0.0.1', port: PORT, username: device.name, privateKey: keyFile(device.identity) });
  await once(client, 'ready');
  const { _sock: socket, _protocol: protocol } = client as unknown as Inner;
  return { client, closed, socket, protocol };
}

/** Signs whatever it is asked to, with nobody's key. */
class Liar extends ssh2.BaseAgent {
  readonly #key: string;

  constructor(publicKey: string) {
    super();
    this.#key = publicKey;
  }

  override getIdentities(callback: (error?: Error | null, keys?: string[]) => void): void {
    callback(null, [this.#key]);
  }

  override sign(_key: unknown, _data: Buffer, options: unknown, callback?: unknown): void {
    const answer = (typeof options === 'function' ? options : callback) as (error: null, signature: Buffer) => void;
    answer(null, randomBytes(64));
  }
}

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const string = (text: string | Buffer) => Buffer.concat([uint32(text.length), Buffer.from(text)]);
/** A message of SFTP version 3. */
const message = (type: number, ...fields: Buffer[]) =>
  string(Buffer.concat([Buffer.from([type]), uint32(1), ...fields]));

await inOwnEtc(import.meta.url, () => {
  t.test('limits: who says nothing, and too many', async (t) => {
    const site = await startSite(t, { maxSessionsPerPerson: 2, preAuthMs: 1500 });
    const bob = await site.person('bob', BOTH);
    const open = [await idleSftp(site, bob), await idleSftp(site, bob)];
    const third = await site.batch(bob, ['pwd']);
    t.equal(third.code, 255, 'a third session');
    for (const { child, exited } of open) {
      child.stdin.end();
      await exited;
    }
    t.equal((await site.batch(bob, ['pwd'])).code, 0, 'one has ended');

    const silent = Array.from({ length: 100 }, () => connect(PORT, '127.0.0.1').resume());
    await Promise.all(
      silent.map((socket) =>
        once(
          socket.on('error', () => {}),
          'close',
        ),
      ),
    );
    t.pass('who says nothing is cut');
    t.equal((await site.batch(bob, ['pwd'])).code, 0, 'and keeps nobody out');
  });

  t.test('programs of the VM that crowd the port keep nobody out who comes through the tunnel', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const through = connect(PORT, '127.0.0.1').on('error', () => {});
    site.sftp.expect(through);
    const [banner] = (await once(through, 'data')) as [Buffer];
    t.match(banner.toString(), /^SSH-2\.0-vmc/);
    const crowd = Array.from({ length: 200 }, () => connect(PORT, '127.0.0.1').on('error', () => {}));
    const closed = crowd.slice(0, -32).map((socket) => once(socket.resume(), 'close'));
    await Promise.all(closed);
    t.equal(through.closed, false, 'the crowd took its own places');
    through.write('nonsense\r\n'.repeat(100));
    await once(through.resume(), 'close');
    t.pass('it was still being served');
    for (const socket of crowd) socket.destroy();
  });

  t.test('C12 who begins and ends all the time does not fill the audit log', async (t) => {
    const site = await startSite(t, { begin: { burst: 6, perMinute: 0 } });
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    /** @returns how many SFTP channels could be opened and ended, one after the other. */
    const beginAndEnd = async (most: number) => {
      const { client, closed } = await hostileClient(bob);
      let begun = 0;
      const one = () =>
        new Promise<boolean>((resolve) =>
          client.sftp((error, sftp) => {
            if (error !== undefined) return resolve(false);
            sftp.once('close', () => resolve(true)).end();
          }),
        );
      while (begun < most && (await one())) begun++;
      client.end();
      await closed;
      return begun;
    };
    t.equal(await beginAndEnd(3), 3, 'a connection and its first channel count once');
    t.equal(await beginAndEnd(9), 3);
    t.not((await site.batch(bob, ['pwd'])).code, 0, 'nothing is left');
    await site.sftp.close(); // all of it is recorded
    t.equal(site.recorded(bob.who).filter((record) => record.startsWith('sftp.end')).length, 6);
  });

  t.test('C12 failClosed: a session of which nothing more can be recorded is cut', async (t) => {
    const site = await startSite(t, { failClosedOnMiB: 8 });
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const { client, closed } = await hostileClient(bob);
    const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) =>
      client.sftp((error, sftp) => (error === undefined ? resolve(sftp) : reject(error))),
    );
    const make = (name: string) => new Promise<void>((resolve) => sftp.mkdir(name, () => resolve()));
    let gone = false;
    void closed.then(() => {
      gone = true;
    });
    let made = 0;
    while (!gone && made < 500) {
      const { bavail, bsize } = await statfs(site.stateDir);
      await appendFile(join(site.stateDir, 'filler'), Buffer.alloc(bavail * bsize));
      await Promise.race([make(`folder-${made++}`), closed]);
    }
    t.ok(gone, `after ${made}`);
    t.not((await site.batch(bob, ['pwd'])).code, 0, 'nor does another begin');
    await rm(join(site.stateDir, 'filler'));
    t.equal((await site.batch(bob, ['pwd'])).code, 0, 'there is room again');
  });

  t.test('C6 a signature by another key proves nothing', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const client = new ssh2.Client();
    const outcome = new Promise<string>((resolve) => {
      client.once('ready', () => resolve('in'));
      client.on('error', (error) => resolve(error.message));
    });
    const agent = new Liar(openSshPublicKey(bob.identity.public.ed25519, ''));
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    client.connect({ host: '127.0.0.1', port: PORT, username: 'bob', agent: agent as unknown as ssh2.BaseAgent });
    t.match(await outcome, /authentication methods failed/);
    await closed;
    const refused = () => site.log().find(({ what, result }) => what === 'sftp.refused' && result === 'bad-signature');
    while (refused() === undefined) await pause(10);
    t.match(refused(), { who: 'unknown', target: 'bob' });
  });

  t.test('a client that breaks the protocol is cut; others are served all the while', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const zero = await hostileClient(bob);
    zero.protocol.session(0, 2 ** 31, 0); // packets of no bytes: ssh2 would never finish one
    zero.protocol.subsystem(0, 'sftp', false);
    await zero.closed;
    t.pass('packets of 0 bytes');
    const flood = await hostileClient(bob);
    flood.protocol.session(0, 0, 32_768); // takes nothing, and sends more than its window
    flood.protocol.subsystem(0, 'sftp', false);
    const realpath = Buffer.from([0, 0, 0, 10, 16, 0, 0, 0, 1, 0, 0, 0, 1, 46]); // of "."
    const asking = Buffer.concat(Array.from({ length: 2000 }, () => realpath));
    flood.protocol.channelData(0, SSH_FXP_INIT);
    const timer = setInterval(() => {
      for (let index = 0; index < 100; index++) flood.protocol.channelData(0, asking);
    }, 10);
    await flood.closed;
    clearInterval(timer);
    t.pass('more than the window');
    t.equal((await site.batch(bob, ['pwd'])).code, 0, 'others are served all the while');
  });

  t.test('a client that asks for much and takes nothing does not fill vmc’s memory', async (t) => {
    const site = await startSite(t);
    const bob = await site.person('bob', BOTH);
    await site.accessOf(bob);
    const file = await open('/home/bob/large', 'w');
    await file.truncate(512 * 1024 ** 2);
    await file.close();
    await chown('/home/bob/large', (await stat('/home/bob')).uid, 0);
    const { protocol, socket, client, closed } = await hostileClient(bob);
    protocol.session(0, 2 ** 32 - 1, 32_768);
    protocol.subsystem(0, 'sftp', false);
    protocol.channelData(0, SSH_FXP_INIT);
    protocol.channelData(0, message(3, string('large'), uint32(1), uint32(0))); // open it to read: the first handle is 0
    const read = message(5, string(uint32(0)), Buffer.alloc(8), uint32(32_000));
    for (let count = 0; count < 100; count++)
      protocol.channelData(0, Buffer.concat(Array.from({ length: 100 }, () => read))); // 320 MB in all
    socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let sample = 0; sample < 150; sample++) {
      await pause(10);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    const megabytes = Math.round(most / 1e6);
    t.ok(megabytes < 40, `${megabytes} MB`);
    socket.resume();
    client.end();
    await closed;
  });
});
