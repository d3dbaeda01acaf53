/**
 * A person's device with one open control channel. Reads {url, pin, folder, passphrase, vmId} and then requests {name, params}
 * on stdin, a line each; answers each with {ms, result} or {error}.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { controlMethods } from '../../shared/api/index.ts';
import { BackendClient } from '../../shared/backend-client/client.ts';
import { utf8 } from '../../shared/bytes.ts';
import { openChannel } from '../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../shared/channel/websocket-transport.ts';
import { publicError, VmcError } from '../../shared/errors.ts';
import { unsealIdentity } from '../../shared/identity/sealed.ts';
import { routes } from '../../shared/rest-api/index.ts';
import { RpcPeer } from '../../shared/rpc/peer.ts';
import { parseJson } from '../../shared/validate.ts';

const TIMEOUT_MS = 600_000;

const siteSchema = z.object({
  url: z.string(),
  pin: z.string(),
  folder: z.string(),
  passphrase: z.string(),
  vmId: z.string(),
});
export type ControlSite = z.input<typeof siteSchema>;

const requestSchema = z.object({ name: z.string(), params: z.unknown() });
export type ControlRequest = z.input<typeof requestSchema>;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const site = parseJson(siteSchema, String((await lines.next()).value), 'stdin');
const identity = await unsealIdentity(
  await readFile(join(site.folder, 'identity.json'), 'utf8'),
  utf8(site.passphrase),
);
const client = new BackendClient({ url: site.url, pin: site.pin });
await client.signIn(identity);
const vm = await client.call(routes.vmGet, { params: { vmId: site.vmId }, body: {} });
if (vm.identity === undefined) throw new VmcError('wrong-state', 'The VM has not enrolled.');
const channel = await openChannel(webSocketTransport(await client.openRelayToVm(site.vmId)), {
  identity,
  peer: vm.identity.ed25519,
  purpose: 'control',
});
const peer = new RpcPeer(channel);

async function answer(line: string): Promise<object> {
  const { name, params } = parseJson(requestSchema, line, 'stdin');
  if (!Object.hasOwn(controlMethods, name)) return { error: publicError(new VmcError('not-found', `no ${name}`)) };
  const method = controlMethods[name as keyof typeof controlMethods];
  const started = performance.now();
  try {
    const result: unknown = await peer.call(method, params as never, { timeoutMs: TIMEOUT_MS });
    return { ms: performance.now() - started, result };
  } catch (error) {
    return { error: publicError(error) };
  }
}

for await (const line of { [Symbol.asyncIterator]: () => lines })
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
await peer.close();
await client.signOut().catch(() => {});
client.close();
