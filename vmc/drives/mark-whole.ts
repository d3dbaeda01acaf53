/** Formatting is over: the label that luksFormat set goes from the LUKS header. */
import { open } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { composeMetadata, METADATA_BYTES, parseMetadata } from './parse-luks-binary.ts';
import { COPY_BYTES, isUnfinished, withoutLabel } from './parse-state.ts';

/** One copy of the header after the other, each on the disk before the next: one of them is whole at any time. */
export async function markWhole(device: string): Promise<void> {
  const file = await open(device, 'r+');
  try {
    const { buffer } = await file.read(Buffer.alloc(METADATA_BYTES), 0, METADATA_BYTES, 0);
    const found = parseMetadata(buffer);
    if (found === undefined) throw new VmcError('bad-data', `The LUKS header on ${device} is damaged.`);
    if (!isUnfinished(found.binary)) return;
    const next = composeMetadata({ binary: withoutLabel(found.binary), json: found.json });
    for (const at of [0, COPY_BYTES]) {
      await file.write(next, at, COPY_BYTES, at);
      await file.sync();
    }
  } finally {
    await file.close();
  }
}
