/** Who is in by SFTP: how many, what each may, and how they are cut. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Right } from '../../shared/api/rights.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import type { Accounts } from '../accounts/accounts.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { ALLOWANCE, Allowance, type AllowanceLimits } from '../requests/allowance.ts';
import { type FileAccess, fileAccess, serverCommand } from './plan-server.ts';
import type { Admitted } from './ssh-connection.ts';
import type { FileEvent } from './transfer-log.ts';

export interface SessionsDeps {
  rightsOf: (person: Ed25519PublicKey) => ReadonlySet<Right> | undefined;
  /** The name of somebody in this VM. @param person fingerprint. @returns undefined for someone it does not know. */
  nameOf: (person: string) => string | undefined;
  isOwner: (person: Ed25519PublicKey) => boolean;
  accounts: Pick<Accounts, 'find' | 'ensure'>;
  audit: Pick<AuditLog, 'recordOn' | 'refuse' | 'around'>;
  limits: { maxSessions: number; maxSessionsPerPerson: number; umask: string };
  /** How often a person may begin a session; default as calls that change something. */
  begin?: AllowanceLimits;
  /** Told of what went wrong with somebody's account. */
  onProblem: (error: unknown) => void;
}

interface Entry {
  who: string;
  revoked: boolean;
  cut: () => void;
  /** All of it is recorded. */
  over: Promise<void>;
}

/** Transfers and changes of one person that have a record of their own: at once, and from then on each minute. */
const RECORDS = { burst: 1000, perMinute: 60 };

const CLOSE_MS = 5000;

export class Sessions {
  readonly #deps: SessionsDeps;
  readonly #entries = new Set<Entry>();
  readonly #begun: Allowance;
  readonly #records = new Allowance(RECORDS);

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
    this.#begun = new Allowance(deps.begin ?? ALLOWANCE);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @returns why somebody with this key may not come in as this user. */
  async refuses(key: Ed25519PublicKey, user: string): Promise<string | undefined> {
    const { rightsOf, accounts } = this.#deps;
    if (rightsOf(key) === undefined) return 'unknown-person';
    if (fileAccess(rightsOf(key)) === undefined) return 'forbidden';
    return (await accounts.find(fingerprint(key)))?.name === user ? undefined : 'not-their-account';
  }

  /** @throws VmcError 'forbidden', 'limit', 'audit-unavailable', and what `Accounts.ensure` throws. */
  async admit(key: Ed25519PublicKey, user: string, cut: () => void): Promise<Admitted> {
    const who = fingerprint(key);
    this.#requireRoom(key, who);
    const finished = Promise.withResolvers<void>();
    const recorded = Promise.withResolvers<void>();
    const entry = { who, revoked: false, cut, over: recorded.promise };
    this.#entries.add(entry);
    const end = () => {
      finished.resolve();
      this.#entries.delete(entry);
    };
    try {
      const account = await this.#deps.accounts.ensure(who, this.#deps.nameOf(who) ?? user).catch((error: unknown) => {
        this.#deps.onProblem(error);
        throw error;
      });
      if (account.name !== user) throw new VmcError('forbidden', 'This is not their account.');
      await this.#begin(entry, user, finished.promise, recorded.resolve);
      const access = this.#accessNow(entry, key);
      const record = ({ what, target, result }: FileEvent) =>
        void this.#deps.audit.recordOn({ who, what, target, result }).then((mayGoOn) => {
          if (!mayGoOn) cut();
        });
      let begun = false;
      return {
        mayBegin: () => {
          const isFirst = !begun;
          begun = true;
          return isFirst || this.#mayRecordOneMore(key, who); // the first is part of the connection
        },
        command: serverCommand(account, access, this.#deps.limits.umask),
        log: { mayRecord: () => this.#records.take(who), record },
        ended: end,
      };
    } catch (error) {
      end();
      recorded.resolve();
      throw error;
    }
  }

  /** Cuts everything that somebody whose rights shrank has open. @param who fingerprint. @returns how many. */
  cut(who: string): number {
    const theirs = [...this.#entries].filter((entry) => entry.who === who);
    for (const entry of theirs) {
      entry.revoked = true;
      entry.cut();
    }
    return theirs.length;
  }

  /** Cuts all, and waits until it is recorded. */
  async close(): Promise<void> {
    const all = [...this.#entries];
    for (const { cut } of all) cut();
    // One whose sftp-server hangs in the kernel is not waited for: systemd ends it.
    await Promise.race([Promise.all(all.map(({ over }) => over)), pause(CLOSE_MS, undefined, { ref: false })]);
  }

  #requireRoom(key: Ed25519PublicKey, who: string): void {
    const { limits, isOwner } = this.#deps;
    const theirs = [...this.#entries].filter((entry) => entry.who === who).length;
    const isFull = theirs >= limits.maxSessionsPerPerson || (!isOwner(key) && this.size >= limits.maxSessions);
    if (isFull || !this.#mayRecordOneMore(key, who)) throw new VmcError('limit', 'There are too many SFTP sessions.');
  }

  /** Connections, and what begins on them, are recorded for good. */
  #mayRecordOneMore(key: Ed25519PublicKey, who: string): boolean {
    return this.#deps.isOwner(key) || this.#begun.take(who);
  }

  /** Resolves when the beginning is on the disk. @throws VmcError 'audit-unavailable'. */
  #begin(entry: Entry, target: string, finished: Promise<void>, recorded: () => void): Promise<void> {
    const begun = Promise.withResolvers<void>();
    this.#deps.audit
      .around({ who: entry.who, what: 'sftp.session', target }, async () => {
        begun.resolve();
        await finished;
        if (entry.revoked) throw new VmcError('forbidden', 'Their rights have shrunk.');
      })
      .catch(begun.reject) // when it had begun, this says nothing
      .finally(recorded);
    return begun.promise;
  }

  /** Once more: all that came before took its time. */
  #accessNow(entry: Entry, key: Ed25519PublicKey): FileAccess {
    const access = entry.revoked ? undefined : fileAccess(this.#deps.rightsOf(key));
    if (access === undefined) throw new VmcError('forbidden', 'They may do nothing with files.');
    return access;
  }
}
