/**
 * The person's folder (0700): who they are, which backend, which VMs they have met. No session and no open key is ever in it.
 *
 *   identity.json   the identity, sealed with a passphrase (shared/identity/sealed.ts)
 *   backend.json    {url, pin, name}
 *   known-vms.json  see known-vms.ts
 *   audit-seen.json see audit/seen.ts
 *   known-people.json  see known-people.ts
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../shared/errors.ts';
import { makeFolder, readIfThere, writeAtomic, writeOnce } from '../shared/files.ts';
import { nameSchema, sha256HexSchema } from '../shared/names.ts';
import { parseJson } from '../shared/validate.ts';
import { type KnownPeople, knownPeopleSchema } from './known-people.ts';
import { type KnownVms, knownVmsSchema } from './known-vms.ts';

/** `https://host:port`, nothing after it. */
export const backendUrlSchema = z
  .url({ protocol: /^https$/, error: 'write https://HOST:PORT' })
  .refine(
    (url) => URL.canParse(url) && new URL(url).pathname === '/' && !/[?#@]/.test(url),
    'write https://HOST:PORT and nothing after it',
  )
  .transform((url) => new URL(url).origin);

const backendSchema = z.strictObject({ url: backendUrlSchema, pin: sha256HexSchema, name: nameSchema });
export type StoredBackend = z.output<typeof backendSchema>;

const OTHERS_MAY_WRITE = 0o022;

export class PersonFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws VmcError 'bad-config' when others could change what is in it: a pin is only worth who may replace it. */
  async prepare(): Promise<void> {
    await makeFolder(this.path, 0o700);
    const { mode, uid } = await stat(this.path);
    if (uid !== process.getuid?.() && uid !== 0)
      throw new VmcError('bad-config', `${this.path} belongs to another user.`, 'Choose a folder of your own: --dir');
    if ((mode & OTHERS_MAY_WRITE) !== 0)
      throw new VmcError('bad-config', `Others may write in ${this.path}.`, `chmod 700 ${this.path}`);
  }

  /** @throws VmcError 'not-found'. */
  async identity(): Promise<string> {
    const text = await readIfThere(join(this.path, 'identity.json'));
    if (text === undefined)
      throw new VmcError('not-found', `There is no identity in ${this.path}.`, 'Make one: connect keygen');
    return text;
  }

  async hasIdentity(): Promise<boolean> {
    return (await readIfThere(join(this.path, 'identity.json'))) !== undefined;
  }

  /** @returns false when there is one already: it is never replaced. */
  writeIdentity(sealed: string): Promise<boolean> {
    return writeOnce(join(this.path, 'identity.json'), sealed, 0o600);
  }

  async backendIfStored(): Promise<StoredBackend | undefined> {
    const path = join(this.path, 'backend.json');
    const text = await readIfThere(path);
    return text === undefined ? undefined : parseJson(backendSchema, text, path, 'Store it anew: connect login --help');
  }

  async writeBackend(backend: StoredBackend): Promise<void> {
    await writeAtomic(join(this.path, 'backend.json'), `${JSON.stringify(backend, undefined, 2)}\n`, 0o600);
  }

  async knownVms(): Promise<KnownVms> {
    const path = join(this.path, 'known-vms.json');
    const text = await readIfThere(path);
    return text === undefined
      ? {}
      : parseJson(knownVmsSchema, text, path, 'It is not ignored: restore it from a backup.');
  }

  async knownPeople(): Promise<KnownPeople> {
    const path = join(this.path, 'known-people.json');
    const text = await readIfThere(path);
    return text === undefined
      ? {}
      : parseJson(knownPeopleSchema, text, path, 'It is not ignored: restore it from a backup.');
  }

  async changeKnownPeople(change: (known: KnownPeople) => KnownPeople): Promise<void> {
    const changed = `${JSON.stringify(change(await this.knownPeople()), undefined, 2)}\n`;
    await writeAtomic(join(this.path, 'known-people.json'), changed, 0o600);
  }

  /** Reads again just before it writes, so that what another connect learned meanwhile stays. */
  async changeKnownVms(change: (known: KnownVms) => KnownVms): Promise<void> {
    const changed = `${JSON.stringify(change(await this.knownVms()), undefined, 2)}\n`;
    await writeAtomic(join(this.path, 'known-vms.json'), changed, 0o600);
  }
}
