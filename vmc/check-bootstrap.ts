/** `vmc bootstrap check`. */
import { readSync } from 'node:fs';
import { VmcError } from '../shared/errors.ts';
import { readIfThere } from '../shared/files.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import { parseBootstrap } from './state/read-bootstrap.ts';

const MAX_BYTES = 128 * 1024;

/** @param file a path, or - for stdin. @throws VmcError 'not-found', 'bad-config' that names the field. */
export async function checkBootstrap(file: string) {
  const source = file === '-' ? 'stdin' : file;
  const text = file === '-' ? readStdin() : await readIfThere(file);
  if (text === undefined) throw new VmcError('not-found', `There is no file ${file}.`);
  const { vm, backend, owner } = parseBootstrap(text, source);
  return {
    source,
    vmId: vm.id,
    name: vm.name,
    backendUrl: backend.url,
    backendPin: backend.pin,
    ownerFingerprint: fingerprint(owner.ed25519),
  };
}

function readStdin(): string {
  const buffer = Buffer.alloc(MAX_BYTES);
  let size = 0;
  for (;;) {
    const read = readSync(0, buffer, size, buffer.length - size, null);
    size += read;
    if (read === 0 || size === buffer.length) return buffer.toString('utf8', 0, size);
  }
}
