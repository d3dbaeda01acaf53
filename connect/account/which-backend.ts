/** Which backend is meant: by --backend and --pin, or the one this folder is bound to. */
import type { BackendAddress } from '../../shared/backend-client/http.ts';
import { VmcError } from '../../shared/errors.ts';
import { sha256HexSchema } from '../../shared/names.ts';
import { backendUrlSchema, type PersonFolder } from '../folder.ts';
import { checked } from '../options.ts';

export interface BackendOptions {
  backend?: string;
  pin?: string;
}

/** @throws VmcError 'bad-request' when only half is given, or nothing and nothing is stored. */
export async function whichBackend(folder: PersonFolder, { backend, pin }: BackendOptions): Promise<BackendAddress> {
  if (backend !== undefined && pin !== undefined)
    return {
      url: checked(backendUrlSchema, backend, '--backend'),
      pin: checked(sha256HexSchema, pin.toLowerCase(), '--pin (64 hex digits)'),
    };
  const stored = await folder.backendIfStored();
  if (backend === undefined && pin === undefined && stored !== undefined) return stored;
  throw new VmcError(
    'bad-request',
    'Which backend? Pass both --backend and --pin.',
    'Its administrator knows both; `backend pin` prints the pin. Without the pin nobody would notice an impostor.',
  );
}

/** A folder is one person at one backend: a new account does not silently replace the binding. */
export async function refuseOtherBinding(folder: PersonFolder, address: BackendAddress): Promise<void> {
  const stored = await folder.backendIfStored();
  if (stored !== undefined && (stored.url !== address.url || stored.pin !== address.pin))
    throw new VmcError(
      'already-exists',
      `${folder.path} belongs to the account ${stored.name} at ${stored.url}.`,
      'Use another --dir for another backend; or, if this one moved: connect login --backend URL --pin HEX',
    );
}
