/** Sends a text through the relay in the clear, past the channel. Only the demo does this, to plant what its search must find. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import * as z from 'zod';
import { BackendClient } from '../shared/backend-client/client.ts';
import { utf8 } from '../shared/bytes.ts';
import { unsealIdentity } from '../shared/identity/sealed.ts';
import { parseJson } from '../shared/validate.ts';

const [url = '', pin = '', vmId = '', folder = ''] = process.argv.slice(2);
const { passphrase, text } = parseJson(
  z.object({ passphrase: z.string(), text: z.string() }),
  await readAll(process.stdin),
  'stdin',
);
const identity = await unsealIdentity(await readFile(join(folder, 'identity.json'), 'utf8'), utf8(passphrase));
const client = new BackendClient({ url, pin });
await client.signIn(identity);
const socket = await client.openRelayToVm(vmId);
// vmc closes as soon as it has seen that this is no hello
const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
socket.resume();
socket.send(utf8(text));
await closed;
await client.signOut();
client.close();
