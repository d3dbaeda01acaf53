/** What a relay counts: numbers only, never who. */
export interface Flow {
  messages: number;
  bytes: number;
  /** Times that the sender was paused for a receiver that did not keep up. */
  pauses: number;
}

/** ticket and pass: not good; rate: too much was refused from there; full: too many sockets of this kind. */
const REFUSALS = ['ticket', 'pass', 'not_parked', 'full', 'rate'] as const;
export type Refusal = (typeof REFUSALS)[number];

export class RelayMetrics {
  parked = 0;
  paired = 0;
  waiting = 0;
  readonly toVm: Flow = { messages: 0, bytes: 0, pauses: 0 };
  readonly toUser: Flow = { messages: 0, bytes: 0, pauses: 0 };
  readonly acceptedTotal = { vm: 0, user: 0 };
  readonly refusedTotal = Object.fromEntries(REFUSALS.map((reason) => [reason, 0])) as Record<Refusal, number>;

  accepted(kind: 'vm' | 'user'): void {
    this.acceptedTotal[kind]++;
  }

  refused(reason: Refusal): void {
    this.refusedTotal[reason]++;
  }
}
