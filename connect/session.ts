/** What most commands do first and last: unseal the identity, sign in by signature; sign out, and wipe the keys. */
import type { Command } from 'commander';
import { BackendClient } from '../shared/backend-client/client.ts';
import type { BackendAddress } from '../shared/backend-client/http.ts';
import { wipe } from '../shared/bytes.ts';
import { VmcError } from '../shared/errors.ts';
import { type Identity, wipeIdentity } from '../shared/identity/identity.ts';
import { unsealIdentity } from '../shared/identity/sealed.ts';
import type { User } from '../shared/rest-api/accounts.ts';
import type { Route } from '../shared/rest-api/route.ts';
import { PersonFolder } from './folder.ts';
import type { ConnectIo } from './io.ts';
import { readPassphrase } from './passphrase.ts';

/** Options of the program itself: they may stand anywhere on the line. */
interface GlobalOptions {
  dir?: string;
  passphraseFd?: number;
}

export interface Session {
  readonly io: ConnectIo;
  readonly folder: PersonFolder;
  readonly identity: Identity;
  readonly address: BackendAddress;
  readonly client: BackendClient;
  /** Who the backend says has signed in. */
  readonly user: User;
}

const SIGN_OUT_TIMEOUT_MS = 5_000;

/** The options given before or after the noun and the verb. */
export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>();
}

export async function openFolder(io: ConnectIo, command: Command): Promise<PersonFolder> {
  const folder = new PersonFolder(globalOptions(command).dir ?? io.defaultFolder);
  await folder.prepare();
  return folder;
}

/** Lends the open identity to `use` and wipes it afterwards. @throws VmcError 'not-found', 'wrong-key', 'bad-data'. */
export async function withIdentity<T>(
  io: ConnectIo,
  command: Command,
  folder: PersonFolder,
  use: (identity: Identity) => Promise<T>,
): Promise<T> {
  const sealed = await folder.identity();
  const passphrase = await readPassphrase(io, globalOptions(command).passphraseFd);
  let identity: Identity;
  try {
    identity = await unsealIdentity(sealed, passphrase);
  } finally {
    wipe(passphrase);
  }
  try {
    io.signal.throwIfAborted();
    return await use(identity);
  } finally {
    wipeIdentity(identity);
  }
}

/** Signs in at `address`, runs `use`, and signs out whatever happened: no session outlives its command. */
export async function withSignIn<T>(
  io: ConnectIo,
  folder: PersonFolder,
  identity: Identity,
  address: BackendAddress,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const client = new BackendClient(address);
  try {
    const { user } = await client.signIn(identity, { signal: io.signal });
    return await use({ io, folder, identity, address, client, user });
  } finally {
    // A session that cannot be ended now ends by itself: its token was in memory only.
    await client.signOut({ timeoutMs: SIGN_OUT_TIMEOUT_MS }).catch(() => {});
    client.close();
  }
}

/** Everything for a command that talks to the backend that this folder is bound to. */
export async function withSession<T>(
  io: ConnectIo,
  command: Command,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const folder = await openFolder(io, command);
  const backend = await folder.backendIfStored();
  if (backend === undefined)
    throw new VmcError(
      'wrong-state',
      'This device does not know a backend yet.',
      'A new account: connect claim --help. An account you have: connect login --help.',
    );
  return withIdentity(io, command, folder, (identity) => withSignIn(io, folder, identity, backend, use));
}

/** The sessions of the backend end after hours; a tunnel may live on. Signs in again once when that happens. */
export async function signedIn<T>(session: Session, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof VmcError && error.code === 'unauthenticated')) throw error;
    await session.client.signIn(session.identity, { signal: session.io.signal });
    return request();
  }
}

/** One request with this command's signal. @param timeoutMs default 60 000. */
export function ask<T extends Route>(
  session: Session,
  route: T,
  input: Parameters<typeof session.client.call<T>>[1],
  timeoutMs = 60_000,
): ReturnType<typeof session.client.call<T>> {
  return session.client.call(route, input, { signal: session.io.signal, timeoutMs });
}
