/** Permission to use the TLS tunnel on port 22, and what it carries. */
import * as z from 'zod';
import { portSchema, sha256HexSchema } from '../names.ts';
import { defineMethod } from './define.ts';

/** Both ends included. */
export const portRangeSchema = z.object({ from: portSchema, to: portSchema });

export const sftpSchema = z.object({
  /** Of the VM's own 127.0.0.1. */
  port: portSchema,
  /** The account that this person has in the VM. */
  user: z
    .string()
    .max(64)
    .regex(/^[a-z_][a-z0-9_-]*$/),
  /** As a known_hosts file has it: algorithm and base64. */
  hostKey: z
    .string()
    .max(1024)
    .regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*$/),
  /** What they may do with files; at least one is true. */
  upload: z.boolean(),
  download: z.boolean(),
});
export type SftpAccess = z.output<typeof sftpSchema>;

const count = z.number().int().nonnegative();

export const grantSchema = z.object({
  certificateSha256: sha256HexSchema,
  /** A fingerprint. */
  person: z.string(),
  /** Unix time in milliseconds, as is expiresAt. */
  openedAt: z.number().int(),
  expiresAt: z.number().int(),
  /** All that it leads to, SFTP's port included. */
  ports: z.array(portRangeSchema),
  /** Open now, and ever. */
  streams: count,
  streamsTotal: count,
  /** From the device to ports of the VM, and back; of all its streams. */
  bytesIn: count,
  bytesOut: count,
});
export type GrantView = z.output<typeof grantSchema>;

export const tunnelMethods = {
  tunnelOpen: defineMethod({
    name: 'tunnel.open',
    summary: 'Let a client certificate use the tunnel on port 22',
    /** Any person: what they reach follows from their rights. Who may reach nothing is refused. */
    right: 'member',
    changes: true,
    /** SHA-256 of the DER of the client certificate that the device made for this. */
    params: z.strictObject({ certificateSha256: sha256HexSchema }),
    result: z.object({
      /** TCP ports of the VM that this person may reach, as ranges, both ends included. */
      ports: z.array(portRangeSchema),
      /** The SFTP server, when this person may use it. Its port is not among `ports`. */
      sftp: sftpSchema.optional(),
      serverCertificateSha256: sha256HexSchema,
      /** Unix time in milliseconds. */
      expiresAt: z.number().int(),
      /** How many TLS connections may wait for their CONNECT, so that a new stream needs no handshake, and for how long. */
      ready: z.object({ connections: z.number().int(), seconds: z.number() }),
    }),
    progress: false,
  }),
  tunnelClose: defineMethod({
    name: 'tunnel.close',
    summary: 'End a grant and cut its streams',
    right: 'member',
    changes: true,
    params: z.strictObject({ certificateSha256: sha256HexSchema }),
    result: z.object({ closedStreams: z.number().int() }),
    progress: false,
  }),
  tunnelList: defineMethod({
    name: 'tunnel.list',
    summary: 'Which grants there are, and what goes through them',
    /** One's own grants; with the right `stats`, everybody's. */
    right: 'member',
    changes: false,
    /** The last certificate of the answer before, when there was `more`. */
    params: z.strictObject({ after: sha256HexSchema.optional() }),
    result: z.object({ grants: z.array(grantSchema), more: z.boolean() }),
    progress: false,
  }),
};
