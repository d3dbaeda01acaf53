/**
 * One call as a person's device would make it, past what `connect` offers: a REST route, or a control method of a VM.
 * Reads {url, pin, folder, passphrase, route|method, vmId?, vmKey?, params, body} on stdin; prints {result} or {error}.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { controlMethods } from '../../../shared/api/index.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { publicError, VmcError } from '../../../shared/errors.ts';
import { unsealIdentity } from '../../../shared/identity/sealed.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { parseJson } from '../../../shared/validate.ts';

const requestSchema = z.object({
  url: z.string(),
  pin: z.string(),
  folder: z.string(),
  passphrase: z.string(),
  kind: z.enum(['rest', 'control', 'relay']),
  name: z.string().default(''),
  vmId: z.string().default(''),
  params: z.unknown(),
  body: z.unknown(),
});
export type CallRequest = z.input<typeof requestSchema>;

const request = parseJson(requestSchema, await text(process.stdin), 'stdin');
const identity = await unsealIdentity(
  await readFile(join(request.folder, 'identity.json'), 'utf8'),
  utf8(request.passphrase),
);
const client = new BackendClient({ url: request.url, pin: request.pin });

function entry<T extends object>(table: T, name: string): T[keyof T] {
  if (!Object.hasOwn(table, name)) throw new VmcError('not-found', `There is no ${name}.`);
  return table[name as keyof T];
}

async function call(): Promise<unknown> {
  await client.signIn(identity);
  if (request.kind === 'rest')
    return client.call(entry(routes, request.name), { params: request.params as never, body: request.body as never });
  const socket = await client.openRelayToVm(request.vmId);
  if (request.kind === 'relay') {
    socket.terminate();
    return {};
  }
  const vm = await client.call(routes.vmGet, { params: { vmId: request.vmId }, body: {} });
  if (vm.identity === undefined) throw new VmcError('wrong-state', 'The VM has not enrolled.');
  const channel = await openChannel(webSocketTransport(socket), {
    identity,
    peer: vm.identity.ed25519,
    purpose: 'control',
  });
  const peer = new RpcPeer(channel);
  try {
    return await peer.call(entry(controlMethods, request.name), request.params as never);
  } finally {
    await peer.close();
  }
}

process.stdout.write(
  JSON.stringify(
    await call().then(
      (result) => ({ result: result ?? null }),
      (error: unknown) => ({ error: publicError(error) }),
    ),
  ),
);
await client.signOut().catch(() => {});
client.close();
