/** What a re-encryption that was cut left in memory goes to the drive only while it is that drive's newest header. */
import t from 'tap';
import {
  composeMetadata,
  isOwed,
  METADATA_BYTES,
  type Metadata,
  parseMetadata,
} from '../../../vmc/drives/parse-luks-binary.ts';

function header(uuid: string, sequence: number): Metadata {
  const binary = Buffer.alloc(4096);
  binary.writeUInt16BE(2, 6);
  binary.writeBigUInt64BE(BigInt(METADATA_BYTES / 2), 8);
  binary.writeBigUInt64BE(BigInt(sequence), 16);
  binary.write('sha256', 72);
  binary.write(uuid, 168);
  return parseMetadata(composeMetadata({ binary, json: '{}' })) as Metadata;
}

t.test('H9 a header in memory from before a crash', async (t) => {
  const inMemory = header('one', 9);
  t.equal(isOwed(inMemory, header('one', 8)), true, 'the drive is one writing behind');
  t.equal(isOwed(inMemory, header('one', 9)), true, 'one copy of it may be old');
  t.equal(isOwed(inMemory, undefined), true, 'torn');
  t.equal(isOwed(inMemory, header('one', 10)), false, 'the re-encryption went on elsewhere');
  t.equal(
    isOwed(inMemory, header('two', 3)),
    false,
    'it was formatted elsewhere: the key of what is on it is there alone',
  );
  t.equal(isOwed(undefined, header('one', 1)), false);
  t.equal(isOwed(undefined, undefined), false);
});
