/** Read-only media in the VM: ISO images that the host attached, and NFS exports of the servers that the site names (C14). */
import * as z from 'zod';
import { ipv4Schema, isoIdSchema, nameSchema } from '../names.ts';
import { defineMethod } from './define.ts';

const mountSchema = z.object({ mountPoint: z.string(), readOnly: z.literal(true) });

/** An absolute path on the server, without `..`, commas or white space: it becomes part of a mount's source. */
export const exportPathSchema = z
  .string()
  .max(1024)
  .regex(/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._+@-]+)+$|^\/$/, 'an absolute path such as /export/data');

/** '10.0.0.5:/export/data' in its parts; undefined for anything else. */
export function parseNfsExport(text: string): { server: string; path: string } | undefined {
  const at = text.indexOf(':');
  const server = ipv4Schema.safeParse(text.slice(0, at));
  const path = exportPathSchema.safeParse(text.slice(at + 1));
  return at > 0 && server.success && path.success ? { server: server.data, path: path.data } : undefined;
}

export const nfsExportSchema = z.string().transform((text, context) => {
  const parsed = parseNfsExport(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'write SERVER:/PATH, such as 10.0.0.5:/export/data' });
  return z.NEVER;
});

export const isoStatusSchema = z.object({
  isoId: isoIdSchema,
  state: z.enum(['attached', 'mounted']),
  label: z.string().max(64).optional(),
  sizeBytes: z.number().int(),
  mountPoint: z.string().optional(),
});
export type IsoStatus = z.output<typeof isoStatusSchema>;

export const nfsStatusSchema = z.object({
  name: nameSchema,
  server: ipv4Schema,
  path: exportPathSchema,
  mountPoint: z.string(),
});
export type NfsStatus = z.output<typeof nfsStatusSchema>;

export const mediaMethods = {
  isoList: defineMethod({
    name: 'iso.list',
    summary: 'ISO images that are attached to this VM',
    right: 'drives',
    changes: false,
    params: z.strictObject({}),
    result: z.object({ isos: z.array(isoStatusSchema) }),
    progress: false,
  }),
  isoMount: defineMethod({
    name: 'iso.mount',
    summary: 'Mount an attached ISO image under /mnt, read-only',
    right: 'drives',
    changes: true,
    params: z.strictObject({ isoId: isoIdSchema, name: nameSchema }),
    result: mountSchema,
    progress: false,
  }),
  isoUnmount: defineMethod({
    name: 'iso.unmount',
    summary: 'Unmount an ISO image; says who holds it when it is busy',
    right: 'drives',
    changes: true,
    params: z.strictObject({ isoId: isoIdSchema }),
    result: z.object({}),
    progress: false,
  }),
  nfsList: defineMethod({
    name: 'nfs.list',
    summary: 'Mounted NFS exports, and the servers that this VM may use',
    right: 'drives',
    changes: false,
    params: z.strictObject({}),
    result: z.object({ servers: z.array(ipv4Schema), mounts: z.array(nfsStatusSchema) }),
    progress: false,
  }),
  nfsMount: defineMethod({
    name: 'nfs.mount',
    summary: 'Mount an NFS export under /mnt, read-only whatever the server allows',
    right: 'drives',
    changes: true,
    params: z.strictObject({
      server: ipv4Schema,
      path: exportPathSchema,
      name: nameSchema,
      /** False is refused: data must not leave the VM that way. */
      readOnly: z.boolean().default(true),
    }),
    result: mountSchema,
    progress: false,
  }),
  nfsUnmount: defineMethod({
    name: 'nfs.unmount',
    summary: 'Unmount an NFS export; says who holds it when it is busy',
    right: 'drives',
    changes: true,
    params: z.strictObject({ name: nameSchema }),
    result: z.object({}),
    progress: false,
  }),
};
