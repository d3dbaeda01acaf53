/** What a relay counts: numbers only, never who. */
export interface Flow {
  messages: number;
  bytes: number;
  /** Times that the sender was paused for a receiver that did not keep up. */
  pauses: number;
}

const REFUSALS = ['pass', 'noVmParked', 'limit', 'ticket', 'path', 'rate', 'connections', 'evicted', 'late'] as const;
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
