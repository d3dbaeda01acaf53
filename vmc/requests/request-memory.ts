/**
 * Requests that change something run once (C1), however often and over however many channels they arrive: a person's
 * second request of the same id joins the running call, or gets the answer of the one that ran.
 *
 * Each accepted request of a person gets the next number. A request says `after` which number it was first sent: one that is
 * not known here, but whose number could be among the forgotten ones, is refused, and so never runs twice, though memory is bounded
 * and a relay can hold a record back for as long as it likes.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { equalBytes } from '../../shared/bytes.ts';
import { errorFromFields, publicError, VmcError } from '../../shared/errors.ts';
import type { ChangingRequest } from '../../shared/rpc/dispatch.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import type { Greeting } from '../../shared/rpc/peer.ts';
import { BYTES_OF_ENTRY, REQUEST_LIMITS, type RequestLimits } from './limits.ts';
import { RunningCall } from './running-call.ts';

type Work = (context: CallContext) => Promise<unknown>;

/** What came of a request: its answer as JSON, or what a caller may see of the error. */
type Outcome = { json: string } | { error: VmcError };

interface Entry {
  readonly person: PersonsRequests;
  readonly requestId: string;
  readonly number: number;
  readonly hash: Uint8Array;
  call: RunningCall | undefined;
  outcome: Outcome | undefined;
  bytes: number;
  endedAt: number;
}

class PersonsRequests {
  readonly entries = new Map<string, Entry>();
  accepted: number;
  /** Every number up to this one may be of a request that is forgotten. */
  forgottenUpTo: number;
  running = 0;
  bytes = 0;
  /** False for one person too many: nothing of theirs is accepted. */
  readonly known: boolean;

  constructor(start: number, known: boolean) {
    this.known = known;
    this.accepted = start;
    this.forgottenUpTo = start;
  }
}

export class RequestMemory {
  /** A vmc that was restarted remembers nothing of this one's requests, and says so by another instance. */
  readonly instance: string = randomBytes(16).toString('hex');
  readonly #limits: RequestLimits;
  readonly #now: () => number;
  readonly #salt = randomBytes(32);
  readonly #people = new Map<string, PersonsRequests>();
  /** Those with an outcome, in the order in which they ended. */
  readonly #ended = new Set<Entry>();
  /** The numbers of people who were forgotten altogether. */
  #forgottenPeopleUpTo = 0;
  #running = 0;
  #bytes = 0;
  readonly #timer: NodeJS.Timeout;

  /** @param now milliseconds of a clock that is never set. */
  constructor(limits: Partial<RequestLimits> = {}, now: () => number = () => performance.now()) {
    this.#limits = { ...REQUEST_LIMITS, ...limits };
    this.#now = now;
    this.#timer = setInterval(() => this.#forgetOld(), 60_000);
    this.#timer.unref();
  }

  /** Requests that run or are remembered. */
  get size(): number {
    return this.#running + this.#ended.size;
  }

  /** What a channel of this person starts with. */
  greeting(person: string): Greeting {
    return { instance: this.instance, accepted: this.#of(person).accepted };
  }

  /**
   * The answer of the request with this id, which runs now, runs already, or ran.
   * @throws VmcError 'bad-request' when the id is missing or is another request's; 'limit' when the request could not be
   * remembered; 'outcome-unknown' when it may have been forgotten; and whatever the request itself ended with. The first
   * three leave nothing changed.
   */
  async once(person: string, { method, params, context }: ChangingRequest, work: Work): Promise<unknown> {
    const { requestId, after } = context;
    if (requestId === undefined || after === undefined)
      throw new VmcError('bad-request', `${method} changes something: it needs a requestId, and after.`);
    this.#forgetOld();
    const requests = this.#of(person);
    const hash = this.#hash(method, params);
    const known = requests.entries.get(requestId);
    if (known !== undefined && !equalBytes(known.hash, hash))
      throw new VmcError('bad-request', 'That requestId belongs to another request.');
    const entry = known ?? this.#accept(requests, requestId, after, hash, context);
    context.tellAccepted?.(requests.accepted);
    if (entry.outcome !== undefined) return replay(entry.outcome);
    if (entry.call === undefined) {
      entry.call = new RunningCall(work, this.#limits.graceMs);
      entry.call.answer.then(
        (result) => this.#end(entry, successful(result)),
        (error: unknown) => this.#end(entry, failed(error)),
      );
    }
    return entry.call.wait(context);
  }

  /** Aborts what runs for somebody who has lost rights. */
  stop(person: string): void {
    this.#stopAll(
      this.#people.get(person)?.entries.values() ?? [],
      new VmcError('forbidden', 'It was stopped: your rights in this VM have changed.'),
    );
  }

  /** Aborts everything that runs: vmc ends. */
  close(): void {
    clearInterval(this.#timer);
    for (const requests of this.#people.values())
      this.#stopAll(requests.entries.values(), new VmcError('cancelled', 'It was stopped: the controller ends.'));
  }

  #stopAll(entries: Iterable<Entry>, why: VmcError): void {
    for (const { call } of entries) call?.stop(why);
  }

  #of(person: string): PersonsRequests {
    const found = this.#people.get(person);
    if (found !== undefined) return found;
    this.#forgetOld();
    this.#forgetPeople();
    const known = this.#people.size < this.#limits.people;
    const requests = new PersonsRequests(this.#forgottenPeopleUpTo, known);
    if (known) this.#people.set(person, requests);
    return requests;
  }

  /** Keeps room for one more. Only people without a request that is remembered are forgotten. */
  #forgetPeople(): void {
    for (const [person, { entries, accepted }] of this.#people) {
      if (this.#people.size < this.#limits.people) return;
      if (entries.size > 0) continue;
      this.#people.delete(person);
      this.#forgottenPeopleUpTo = Math.max(this.#forgottenPeopleUpTo, accepted);
    }
  }

  #accept(
    requests: PersonsRequests,
    requestId: string,
    after: number,
    hash: Uint8Array,
    { tellAccepted }: ChangingRequest['context'],
  ): Entry {
    if (after > requests.accepted) throw new VmcError('bad-request', 'after is a number that was never told.');
    if (after < requests.forgottenUpTo) {
      tellAccepted?.(requests.accepted);
      throw new VmcError(
        'outcome-unknown',
        'The VM cannot tell any more whether it has seen this request before, so it was not carried out now.',
        'Look at what has become of it before you ask again.',
      );
    }
    this.#makeRoom(requests);
    const entry = {
      person: requests,
      requestId,
      number: ++requests.accepted,
      hash,
      call: undefined,
      outcome: undefined,
      bytes: 0,
      endedAt: 0,
    };
    requests.entries.set(requestId, entry);
    requests.running++;
    this.#running++;
    return entry;
  }

  /** Before anything runs: what could not be remembered is refused. */
  #makeRoom(requests: PersonsRequests): void {
    const { perPerson, runningPerPerson, inAll, runningInAll } = this.#limits;
    const most = this.#running < runningInAll ? runningPerPerson : 1; // several together keep nobody out
    if (requests.running >= most || !requests.known)
      throw new VmcError('limit', 'Too many requests are under way.', 'Wait for one to end.');
    if (requests.entries.size >= perPerson) this.#forgetOldestOf(requests);
    if (this.size >= inAll) this.#forgetFirst();
  }

  #end(entry: Entry, outcome: Outcome): void {
    const { person: requests } = entry;
    const { bytesPerPerson, bytesInAll } = this.#limits;
    entry.call = undefined;
    entry.outcome = outcome;
    entry.bytes = BYTES_OF_ENTRY + 2 * ('json' in outcome ? outcome.json : outcome.error.message).length;
    entry.endedAt = this.#now();
    requests.running--;
    this.#running--;
    requests.bytes += entry.bytes;
    this.#bytes += entry.bytes;
    this.#ended.add(entry);
    while (requests.bytes > bytesPerPerson && this.#forgetOldestOf(requests));
    while (this.#bytes > bytesInAll && this.#forgetFirst());
  }

  #forgetOld(): void {
    const before = this.#now() - this.#limits.rememberMs;
    for (const entry of this.#ended) {
      if (entry.endedAt > before) return;
      this.#forget(entry);
    }
  }

  #forgetOldestOf(requests: PersonsRequests): boolean {
    for (const entry of this.#ended) if (entry.person === requests) return this.#forget(entry);
    return false;
  }

  #forgetFirst(): boolean {
    for (const entry of this.#ended) return this.#forget(entry);
    return false;
  }

  #forget(entry: Entry): true {
    const { person: requests } = entry;
    this.#ended.delete(entry);
    requests.entries.delete(entry.requestId);
    requests.forgottenUpTo = Math.max(requests.forgottenUpTo, entry.number);
    requests.bytes -= entry.bytes;
    this.#bytes -= entry.bytes;
    return true;
  }

  /** Tells one request from another and keeps nothing of what was in it. */
  #hash(method: string, params: unknown): Uint8Array {
    return createHmac('sha256', this.#salt)
      .update(JSON.stringify([method, params]))
      .digest();
  }
}

const failed = (error: unknown): Outcome => ({ error: errorFromFields(publicError(error)) });

function successful(result: unknown): Outcome {
  try {
    return { json: JSON.stringify(result ?? null) };
  } catch (error) {
    return failed(error); // nor can it be sent
  }
}

function replay(outcome: Outcome): unknown {
  if ('error' in outcome) throw outcome.error;
  return JSON.parse(outcome.json);
}
