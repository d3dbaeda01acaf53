/** What a handler of a route gets and gives. The table in shared/rest-api says the rest. */
import type * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import type { routes } from '../../shared/rest-api/index.ts';
import type { Route } from '../../shared/rest-api/route.ts';
import type { Account } from '../store/accounts.ts';
import type { Session } from '../store/sessions.ts';

export interface Caller {
  account: Account;
  session: Session;
}

export class RestRequest {
  /** Source address of the connection. */
  readonly address: string;
  readonly #caller: Caller | undefined;
  /** For the audit log: who did it (the caller, or what a handler has verified), and to what. */
  actor: string | undefined;
  target: string | undefined;

  /** Nobody waits for the answer any more. */
  readonly gone: AbortSignal;

  constructor(address: string, caller: Caller | undefined, target: string | undefined, gone: AbortSignal) {
    this.address = address;
    this.gone = gone;
    this.#caller = caller;
    this.actor = caller?.account.userId;
    this.target = target;
  }

  /** @throws VmcError 'unauthenticated' on a route that has no caller. */
  get caller(): Caller {
    if (this.#caller === undefined) throw unauthenticated();
    return this.#caller;
  }

  /** Whose request it is. */
  get account(): Account {
    return this.caller.account;
  }
}

export type Handler<R extends Route> = (
  input: { params: z.output<R['params']>; body: z.output<R['body']> },
  request: RestRequest,
) => Promise<z.input<R['result']>>;

type Routes = typeof routes;
export type Handlers = { [K in keyof Routes]: Handler<Routes[K]> };

export const unauthenticated = () =>
  new VmcError('unauthenticated', 'This needs a session, and there is none or it has ended.', 'Sign in again.');
