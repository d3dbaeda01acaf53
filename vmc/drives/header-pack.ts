/** The header as it travels and is kept: what of it counts, gzip. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { HEADER_MAX_BYTES } from '../../shared/api/drive-keys.ts';
import { VmcError } from '../../shared/errors.ts';
import { HEADER_BYTES } from './parse-luks-header.ts';

/** @throws VmcError 'limit' when it takes more than HEADER_MAX_BYTES. */
export async function packHeader(header: Uint8Array): Promise<Buffer> {
  const packed = await promisify(gzip)(header);
  if (packed.length > HEADER_MAX_BYTES)
    throw new VmcError('limit', 'The header has too many keys for a backup.', 'Remove some of them.');
  return packed;
}

/** @throws VmcError 'bad-data' for what is not the whole of a header; never more memory than one takes. */
export async function unpackHeader(packed: Uint8Array): Promise<Buffer> {
  const header = await promisify(gunzip)(packed, { maxOutputLength: HEADER_BYTES }).catch(() => undefined);
  if (header?.length === HEADER_BYTES) return header;
  throw new VmcError('bad-data', 'This is no backup of a header.', 'Nothing was changed.');
}

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
