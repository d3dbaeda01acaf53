/**
 * Who has which account: `accounts.json` in the state folder. It only grows: a uid is never given to somebody else, not even
 * when the person is removed from the VM, as files of theirs may be on any drive.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { fingerprintSchema } from '../../shared/api/people.ts';
import { readIfThere, writeAtomic } from '../../shared/files.ts';
import { nameSchema } from '../../shared/names.ts';
import { parseJson } from '../../shared/validate.ts';
import { type Account, UIDS } from './plan-account.ts';

export const MAX_ACCOUNTS = 10_000;

const distinct = (values: readonly unknown[]) => new Set(values).size === values.length;

export const accountFileSchema = z
  .strictObject({
    format: z.literal(1),
    accounts: z
      .array(
        z.strictObject({
          person: fingerprintSchema,
          name: nameSchema,
          uid: z.number().int().min(UIDS.first).max(UIDS.last),
        }),
      )
      .max(MAX_ACCOUNTS),
  })
  .refine(({ accounts }) => distinct(accounts.map(({ person }) => person)), 'a person is there twice')
  .refine(({ accounts }) => distinct(accounts.map(({ name }) => name)), 'two people have one account')
  .refine(({ accounts }) => distinct(accounts.map(({ uid }) => uid)), 'two people have one user id');

const pathIn = (stateDir: string) => join(stateDir, 'accounts.json');
const HINT = 'Restore it from a backup of this VM. Without it nobody gets an account.';

/** By fingerprint. @throws VmcError 'bad-data' for a damaged file: none is made in its place. */
export async function readAccounts(stateDir: string): Promise<Map<string, Account>> {
  const path = pathIn(stateDir);
  const text = await readIfThere(path);
  if (text === undefined) return new Map();
  const { accounts } = parseJson(accountFileSchema, text, path, HINT);
  return new Map(accounts.map(({ person, name, uid }) => [person, { name, uid }]));
}

export async function writeAccounts(stateDir: string, accounts: ReadonlyMap<string, Account>): Promise<void> {
  const record: z.input<typeof accountFileSchema> = {
    format: 1,
    accounts: [...accounts].map(([person, account]) => ({ person, ...account })),
  };
  await writeAtomic(pathIn(stateDir), `${JSON.stringify(record)}\n`, 0o600);
}
