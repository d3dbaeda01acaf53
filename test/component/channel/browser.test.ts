/** A browser's half of the channel is bundled, checked for anything of Node's, and run with a browser's globals alone. */
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import t from 'tap';
import { equalBytes } from '../../../shared/bytes.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { alice, mallory, vm } from '../../unit/channel/peers.ts';
import { startWss } from './wss.ts';

/** One script that sets the global `peer`. */
async function bundle(entry: { file: string } | { text: string }): Promise<string> {
  const { outputFiles } = await build({
    ...('file' in entry
      ? { entryPoints: [entry.file] }
      : { stdin: { contents: entry.text, resolveDir: import.meta.dirname, loader: 'ts' as const } }),
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'peer',
    minify: true, // without comments, which may speak of Node
    logLevel: 'silent',
  });
  return outputFiles[0]?.text ?? '';
}

/** What of Node a script mentions. */
const nodeish = (script: string): string[] =>
  script.match(/node:\w+|\b(Buffer|process|__dirname|setImmediate)\b[.?([]/g) ?? [];

const script = await bundle({ file: 'shared/channel/browser.ts' });
const connect = await startWss(t);

t.test('the bundle has nothing of Node in it', async (t) => {
  t.ok(script.length > 20_000);
  t.same(nodeish(script), []);
  const withBuffer = await bundle({
    text: 'export const f = (n: number) => [Buffer.alloc(n), process.env, setImmediate(f)]',
  });
  t.equal(nodeish(withBuffer).length, 3, 'the check can fail');
  await t.rejects(bundle({ file: 'shared/channel/run-handshake.ts' }), /node:crypto/, 'so can the bundling');
});

/** A world with what a browser has, and a socket to a responder that runs here on Node. */
function browserWorld(socket: unknown) {
  const { subtle } = globalThis.crypto;
  const getRandomValues = (array: Uint8Array<ArrayBuffer>) => globalThis.crypto.getRandomValues(array);
  const world = createContext({ crypto: { subtle, getRandomValues }, TextEncoder, setTimeout, clearTimeout, socket });
  runInContext(script, world);
  return (code: string): Promise<unknown> => runInContext(`(async () => { ${code} })()`, world);
}

const hexOf = (bytes: Uint8Array): string => `Uint8Array.fromHex('${bytes.toHex()}')`;
const aliceThere = `const { ed25519, x25519, mlkem768 } = {
    ed25519: ${hexOf(alice.secret.ed25519)}, x25519: ${hexOf(alice.secret.x25519)}, mlkem768: ${hexOf(alice.secret.mlkem768)} };
  const identity = peer.identityFromSeeds({ ed25519, x25519, mlkem768 });
  const options = (key) => ({ identity, peer: peer.ed25519PublicKey(key), purpose: 'control', limits: { records: 5, bytes: 65536 } });`;

t.test('B1, C2: it opens a channel to Node over wss, and data goes both ways', async (t) => {
  const { client, accepted } = connect();
  const there = browserWorld(client);
  const opened = there(`${aliceThere}
    const channel = await peer.openChannel(peer.browserTransport(socket), options(${hexOf(vm.public.ed25519)}));
    const sizes = [0, 1, 65537, 1048576, 7];
    for (const [i, size] of sizes.entries()) await channel.send(new Uint8Array(size).fill(i));
    const got = [];
    for (let m = await channel.receive(); m !== undefined; m = await channel.receive()) got.push(m.length + ':' + m.at(-1));
    await channel.close();
    return JSON.stringify({ got, me: await peer.fingerprint(identity.public.ed25519) });`);
  const channel = await acceptChannel(webSocketTransport(await accepted), {
    identity: vm,
    authorize: (who) => equalBytes(who, alice.public.ed25519),
    replayCache: new ReplayCache(),
    limits: { records: 5, bytes: 65536 },
  });
  for (const [i, size] of [0, 1, 65537, 1048576, 7].entries())
    t.ok(equalBytes((await channel.receive()) ?? Uint8Array.of(), new Uint8Array(size).fill(i)), `${size} bytes`);
  for (const size of [1, 1048576, 5]) await channel.send(new Uint8Array(size).fill(9));
  await channel.close();
  t.same(JSON.parse(String(await opened)), {
    got: ['1:9', '1048576:9', '5:9'],
    me: fingerprint(alice.public.ed25519),
  });
});

t.test('C2: it refuses a VM that is not the pinned one, by name', async (t) => {
  const { client, accepted } = connect();
  const there = browserWorld(client);
  const outcome = there(`${aliceThere}
    return peer.openChannel(peer.browserTransport(socket), options(${hexOf(vm.public.ed25519)}))
      .then(() => 'opened', (error) => [error instanceof peer.HandshakeRefused, error.reason].join());`);
  const transport = webSocketTransport(await accepted);
  await transport.receive();
  await transport.send(await strangersAnswer());
  t.equal(await outcome, 'true,wrong-peer');
});

/** A true hello, of another responder to another session. */
async function strangersAnswer(): Promise<Uint8Array> {
  const { exchange, newInitiator, newResponder } = await import('../../unit/channel/peers.ts');
  const { answer } = await exchange(newInitiator({ peer: mallory }), newResponder(mallory));
  return answer.hello;
}
