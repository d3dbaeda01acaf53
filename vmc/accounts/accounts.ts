/**
 * OS accounts of the people of this VM (requirement C8), made when first needed. Who has which is on the disk before anything
 * is made of it, so that a crash at any point leads to the same account at the next attempt.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import { MAX_ACCOUNTS, readAccounts, writeAccounts } from './account-file.ts';
import { drivesGid, setMembers } from './drives-group.ts';
import { findGroups, findUsers } from './look-up.ts';
import { type FullAccount, makeAccount } from './make-account.ts';
import { type Account, candidateNames, candidateUids, planAccount } from './plan-account.ts';

export interface AccountsDeps {
  stateDir: string;
  /** The folder that homes are made in, e.g. /home. */
  homes: string;
  shell: string;
  /** Whether somebody has the right `drives` now. @param person fingerprint. */
  mayUseDrives: (person: string) => boolean;
}

const MAX_WAITING = 512;

export class Accounts {
  readonly #deps: AccountsDeps;
  readonly #mutex = new KeyedMutex(MAX_WAITING);
  /** By fingerprint; read when first needed. */
  #known: Map<string, Account> | undefined;

  constructor(deps: AccountsDeps) {
    this.#deps = deps;
  }

  /** The account of somebody who has one, made or not. @param person fingerprint. @throws VmcError 'bad-data'. */
  async find(person: string): Promise<Account | undefined> {
    return (await this.#read()).get(person);
  }

  /**
   * The account of somebody, ready to be used.
   * @param person fingerprint. @param name the person's name in this VM.
   * @throws VmcError 'wrong-state' when something of somebody else is in its place, 'limit', 'bad-data', 'command-failed'.
   */
  ensure(person: string, name: string): Promise<FullAccount> {
    return this.#mutex.run('accounts', async () => {
      const known = await this.#read();
      const account = known.get(person) ?? (await this.#decide(person, name, known));
      const full = { ...account, home: join(this.#deps.homes, account.name), shell: this.#deps.shell };
      await makeAccount(full);
      await this.#setMembers(person);
      return full;
    });
  }

  /** After rights have shrunk. People who gain the right join the group when they come next. */
  rightsChanged(): Promise<void> {
    return this.#mutex.run('accounts', async () => {
      if ((await this.#read()).size > 0) await this.#setMembers();
    });
  }

  /** The group of those who may use drives, made when it is missing. */
  drivesGid(): Promise<number> {
    return this.#mutex.run('accounts', () => drivesGid());
  }

  async #read(): Promise<Map<string, Account>> {
    this.#known ??= await readAccounts(this.#deps.stateDir);
    return this.#known;
  }

  async #decide(person: string, name: string, known: ReadonlyMap<string, Account>): Promise<Account> {
    if (known.size >= MAX_ACCOUNTS)
      throw new VmcError('limit', `This VM has given ${MAX_ACCOUNTS} accounts, and takes none back.`);
    const digest = Uint8Array.fromBase64(person.slice('SHA256:'.length));
    const keys = [...candidateNames(name), ...candidateUids(digest, [...known.values()])];
    const [users, groups, homes] = await Promise.all([findUsers(keys), findGroups(keys), namesIn(this.#deps.homes)]);
    const account = planAccount(name, digest, [...known.values()], {
      names: new Set([...users, ...groups].map((it) => it.name).concat(homes)),
      ids: new Set([...users.map(({ uid }) => uid), ...groups.map(({ gid }) => gid)]),
    });
    const after = new Map(known).set(person, account);
    await writeAccounts(this.#deps.stateDir, after);
    this.#known = after;
    return account;
  }

  /** @param joining whose account is made; of others it is not known here, so they only leave. */
  async #setMembers(joining?: string): Promise<void> {
    const mayUse = [...(await this.#read())]
      .map(([person, { name }]) => ({ person, name, may: this.#deps.mayUseDrives(person) }))
      .filter(({ person, may }) => !may || person === joining);
    await setMembers(new Map(mayUse.map(({ name, may }) => [name, may])));
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
