/** Permission to use the TLS tunnel on port 22. */
import * as z from 'zod';
import { portSchema, sha256HexSchema } from '../names.ts';
import { defineMethod } from './define.ts';

export const tunnelMethods = {
  tunnelOpen: defineMethod({
    name: 'tunnel.open',
    summary: 'Let a client certificate use the tunnel on port 22',
    right: 'ports',
    changes: true,
    /** SHA-256 of the DER of the client certificate that the device made for this. */
    params: z.strictObject({ certificateSha256: sha256HexSchema }),
    result: z.object({
      /** TCP ports of the VM that this person may reach, as ranges, both ends included. */
      ports: z.array(z.object({ from: portSchema, to: portSchema })),
      serverCertificateSha256: sha256HexSchema,
      /** Unix time in milliseconds. */
      expiresAt: z.number().int(),
    }),
    progress: false,
  }),
  tunnelClose: defineMethod({
    name: 'tunnel.close',
    summary: 'End a grant and cut its streams',
    right: 'ports',
    changes: true,
    params: z.strictObject({ certificateSha256: sha256HexSchema }),
    result: z.object({ closedStreams: z.number().int() }),
    progress: false,
  }),
};
