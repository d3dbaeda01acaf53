/**
 * Writes channel.json:  node test/vectors/make-channel.ts && biome check --write test/vectors/channel.json
 *
 * Nothing in it is random, so it comes out the same each time; a test compares it for both implementations.
 */
import { writeFile } from 'node:fs/promises';
import type { Cryptography } from '../../shared/identity/cryptography.ts';
import { native } from '../../shared/identity/native.ts';
import { inputs } from './channel-inputs.ts';
import { negativeCases } from './channel-negative.ts';
import { computeOutputs } from './channel-outputs.ts';

const about =
  'One handshake with its records, and what must be refused. All bytes are hex. docs/protocol.md says how each value comes about and how to use this file.';

export async function channelVectors(cryptography: Cryptography) {
  const outputs = await computeOutputs(cryptography);
  return { about, inputs, outputs, negative: negativeCases(outputs) };
}

if (import.meta.main)
  await writeFile(new URL('channel.json', import.meta.url), JSON.stringify(await channelVectors(native), undefined, 2));
