/** Which VMs have a socket parked, at the backend's own relay or at one that runs by itself. */
import type { Agent } from 'node:https';
import { callRoute } from '../../shared/backend-client/http.ts';
import { pinnedAgent } from '../../shared/net/pinned-agent.ts';
import { makeQuestion } from '../../shared/relay/ticket.ts';
import { relayParked } from '../../shared/rest-api/relay-parked.ts';
import type { RelayAddress } from '../../shared/rest-api/vm-enrol.ts';
import type { Relay } from '../relay/relay.ts';

/** What a relay said is good for so long. */
const FRESH_MS = 2_000;
/** Whoever asks for VMs does not wait longer than this for a relay that does not answer. */
const TIMEOUT_MS = 2_000;
const QUESTION_MS = 60_000;

export interface PresenceDeps {
  relay: Pick<Relay, 'isReady'>;
  others: readonly RelayAddress[];
  /** Of the ticket key. */
  seed: Uint8Array;
  now: () => number;
}

interface Other {
  relay: RelayAddress;
  agent: Agent;
  parked: ReadonlySet<string>;
}

export class Presence {
  readonly #deps: PresenceDeps;
  readonly #others: readonly Other[];
  #asked: { at: number; answered: Promise<void> } | undefined;

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
    this.#others = deps.others.map((relay) => ({ relay, agent: pinnedAgent(relay.pin), parked: new Set() }));
  }

  /** As of the last `refresh`. */
  isReady(vmId: string): boolean {
    return this.#deps.relay.isReady(vmId) || this.#others.some(({ parked }) => parked.has(vmId));
  }

  /** Asks the other relays, unless they were asked a moment ago. One that does not answer has nothing parked. */
  refresh(): Promise<void> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#asked.at > FRESH_MS)
      this.#asked = { at: now, answered: Promise.all(this.#others.map((it) => this.#ask(it))).then(() => {}) };
    return this.#asked.answered;
  }

  close(): void {
    for (const { agent } of this.#others) agent.destroy();
  }

  async #ask(other: Other): Promise<void> {
    const { relay, agent } = other;
    const question = makeQuestion(this.#deps.seed, { expiresAt: this.#deps.now() + QUESTION_MS, relayPin: relay.pin });
    const session = Buffer.from(question).toString('base64url');
    const options = { agent, session, timeoutMs: TIMEOUT_MS };
    const vmIds = await callRoute(relay, relayParked, { params: {}, body: {} }, options).then(
      (answer) => answer.vmIds,
      () => [],
    );
    other.parked = new Set(vmIds);
  }
}
