/** What `blkid -p -o export DEVICE` prints: KEY=value lines. */

export interface Signature {
  /** In words: 'a crypto_LUKS volume', 'an ext4 file system', 'a gpt partition table'. */
  description: string;
  /** blkid's TYPE, e.g. crypto_LUKS, ext4. */
  type?: string | undefined;
  /** As whoever made it wrote it. */
  label?: string | undefined;
  /** A LUKS volume that is said to have no file system yet. */
  unfinished?: boolean;
  /** A file system that was left in the middle of something; undefined: it does not say. */
  dirty?: boolean | undefined;
}

/** @returns undefined when nothing in it names a content. */
export function parseBlkid(text: string): Signature | undefined {
  const values = new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const at = line.indexOf('=');
      return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
  const type = values.get('TYPE');
  const usage = values.get('USAGE');
  const label = values.get('LABEL')?.replace(/\\(.)/g, '$1'); // blkid escapes spaces and the like
  if (type !== undefined)
    return { ...signature(type, usage === 'filesystem'), ...(label === undefined ? {} : { label }) };
  const partitions = values.get('PTTYPE');
  return partitions === undefined ? undefined : { description: `a partition table (${partitions})` };
}

export const signature = (type: string, isFileSystem: boolean): Signature => ({
  type,
  description: isFileSystem ? `a file system (${type})` : `data of type ${type}`,
});
