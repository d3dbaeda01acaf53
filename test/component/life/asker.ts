/**
 * A person's device that asks its VM without pause, each time for something that changes: tunnels opened and closed, several at
 * once, over connect's own connection. Told by the parent whom to ask and when to end; tells it of each answer.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openControl } from '../../../connect/channel.ts';
import { PersonFolder } from '../../../connect/folder.ts';
import { type Session, withSignIn } from '../../../connect/session.ts';
import { controlMethods } from '../../../shared/api/index.ts';
import { decodeIdentitySecret } from '../../../shared/identity/identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { fakeIo } from '../../unit/connect/fake-io.ts';

export interface Orders {
  folder: string;
  secret: string;
  url: string;
  pin: string;
  vmId: string;
  lanes: number;
}

export type Told = { kind: 'answered' } | { kind: 'ended'; targets: string[]; failures: string[]; said: string };

const tell = (told: Told) => process.send?.(told);
const io = fakeIo();
let stopped = false;

async function ask(session: Session, { vmId, lanes }: Orders): Promise<void> {
  const vm = await session.client.call(routes.vmGet, { params: { vmId }, body: {} });
  const control = await openControl(session, vm);
  const targets: string[] = [];
  const failures: string[] = [];
  const lane = async () => {
    while (!stopped) {
      const certificateSha256 = randomBytes(32).toString('hex');
      targets.push(certificateSha256);
      try {
        await control.call(controlMethods.tunnelOpen, { certificateSha256 });
        tell({ kind: 'answered' });
        const { closedStreams } = await control.call(controlMethods.tunnelClose, { certificateSha256 });
        if (closedStreams !== 0) failures.push(`${closedStreams} streams`);
        tell({ kind: 'answered' });
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  await control.close();
  tell({ kind: 'ended', targets, failures, said: io.errors() });
}

process.once('disconnect', () => process.exit(1));
const [orders] = (await once(process, 'message')) as [Orders];
process.once('message', () => {
  stopped = true;
});
const folder = new PersonFolder(orders.folder);
await folder.prepare();
const identity = decodeIdentitySecret(new Uint8Array(Buffer.from(orders.secret, 'base64')));
await withSignIn(io, folder, identity, { url: orders.url, pin: orders.pin }, (session) => ask(session, orders));
process.exit(0);
