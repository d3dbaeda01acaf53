/** Identifiers and names: what each may look like. Checked at every boundary. */
import * as z from 'zod';

/** `vm-` and 12 hex digits; also the libvirt domain's name. */
export const vmIdSchema = z.string().regex(/^vm-[0-9a-f]{12}$/, 'a VM id looks like vm-0123456789ab');
/** `drv` and 16 hex digits: also the disk's serial, so that the VM finds `/dev/disk/by-id/*_<id>`. */
export const driveIdSchema = z.string().regex(/^drv[0-9a-f]{16}$/, 'a drive id looks like drv0123456789abcdef');
/** `iso` and the first 16 hex digits of the SHA-256 of the image's file name: also its serial in the VM. */
export const isoIdSchema = z.string().regex(/^iso[0-9a-f]{16}$/, 'an ISO id looks like iso0123456789abcdef');
/** Of a disk that the host attached to a VM: its serial there. */
export const diskIdSchema = z.union([driveIdSchema, isoIdSchema]);
/** The name of an ISO image: its file's name without `.iso`. */
export const isoNameSchema = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,127}$/);
export const snapshotIdSchema = z
  .string()
  .regex(/^snap-[0-9a-f]{16}$/, 'a snapshot id looks like snap-0123456789abcdef');
export const jobIdSchema = z.string().regex(/^job-[0-9a-f]{16}$/, 'a job id looks like job-0123456789abcdef');
export const hostIdSchema = z.string().regex(/^host-[0-9a-f]{12}$/);
export const userIdSchema = z.string().regex(/^user-[0-9a-f]{12}$/);
export const endpointIdSchema = z.string().regex(/^ep-[0-9a-f]{12}$/);

/** A name that a person chose for a VM, drive, host or account; fit for a folder, a host name and a prompt. */
export const nameSchema = z
  .string()
  .regex(/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/, 'use 1 to 32 of a-z, 0-9 and -, starting with a letter');

/** The name of an image in a pool: a file name without its ending. */
export const imageNameSchema = z
  .string()
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/)
  .refine((name) => !name.includes('..'));

export const ipv4Schema = z.ipv4();
export const portSchema = z.number().int().min(1).max(65535);

/** SHA-256 as lower-case hex: of a certificate's DER, or of its SPKI (a pin). */
export const sha256HexSchema = z.string().regex(/^[0-9a-f]{64}$/);

/** Bytes as standard base64 with padding, decoded; `min` and `max` are byte counts. */
export function base64Schema(min: number, max: number) {
  return z
    .base64()
    .max(Math.ceil(max / 3) * 4)
    .transform((text) => new Uint8Array(Buffer.from(text, 'base64')))
    .refine((bytes) => bytes.length >= min && bytes.length <= max, `expected ${min} to ${max} bytes`);
}

export const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
