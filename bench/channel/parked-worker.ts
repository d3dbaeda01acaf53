/** Many VMs that park one socket each, and keep them. */
import * as z from 'zod';
import { VmClient } from '../../shared/backend-client/vm-client.ts';
import { decodeIdentitySecret } from '../../shared/identity/identity.ts';
import { base64Schema, sha256HexSchema, vmIdSchema } from '../../shared/names.ts';
import { PASS_BYTES } from '../../shared/relay/ticket.ts';
import { serveWorker } from '../serve-worker.ts';

/** Handshakes under way at once: far fewer than the relay lets in from one address. */
const AT_ONCE = 32;

const parkSchema = z.strictObject({
  relay: z.strictObject({ url: z.string(), pin: sha256HexSchema }),
  vms: z.array(z.strictObject({ vmId: vmIdSchema, pass: base64Schema(PASS_BYTES, PASS_BYTES) })),
  identity: base64Schema(164, 164).transform(decodeIdentitySecret),
});

let cut = 0;

serveWorker({
  /** @returns how many are parked when the last one is. */
  async park(input) {
    const { relay, vms, identity } = parkSchema.parse(input);
    const rest = vms.values(); // shared by all the loops
    const parkSome = async (): Promise<void> => {
      for (const { vmId, pass } of rest) {
        const { paired } = await new VmClient(relay).parkAtRelay(relay, identity, vmId, pass);
        paired.catch(() => cut++);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, parkSome));
    return { parked: vms.length - cut };
  },

  /** @returns how many were cut since. */
  lost: () => ({ lost: cut }),
});
