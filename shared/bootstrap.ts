/**
 * The one document a new VM is told by its host (DESIGN 3): a systemd credential named `vmc.bootstrap` in the SMBIOS
 * OEM strings. Not confidential against the host; the enrolment token in it works once.
 */
import * as z from 'zod';
import { publicIdentitySchema, publicIdentityToJson } from './identity/public-identity.ts';
import { base64Schema, nameSchema, sha256HexSchema, toBase64, vmIdSchema } from './names.ts';

export const bootstrapSchema = z.strictObject({
  version: z.literal(1),
  vm: z.strictObject({ id: vmIdSchema, name: nameSchema }),
  backend: z.strictObject({ url: z.url({ protocol: /^https$/ }), pin: sha256HexSchema }),
  owner: publicIdentitySchema,
  enrolToken: base64Schema(32, 32),
});

export type Bootstrap = z.output<typeof bootstrapSchema>;
/** As it is stored and sent: every key as base64. */
export type BootstrapJson = z.input<typeof bootstrapSchema>;

export function encodeBootstrap(bootstrap: Bootstrap): string {
  const json: BootstrapJson = {
    ...bootstrap,
    owner: publicIdentityToJson(bootstrap.owner),
    enrolToken: toBase64(bootstrap.enrolToken),
  };
  return JSON.stringify(json);
}
