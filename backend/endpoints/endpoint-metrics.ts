/** What the endpoints count: numbers only, never who. */

/** address: not the one that asked; streams: too many at a time; target: no way to the VM, or none for this person any more. */
const REFUSALS = ['address', 'streams', 'target'] as const;
export type EndpointRefusal = (typeof REFUSALS)[number];

export class EndpointMetrics {
  endpoints = 0;
  endpointsTotal = 0;
  streams = 0;
  streamsTotal = 0;
  /** Of streams that have ended, as the VM sees it. */
  bytesIn = 0;
  bytesOut = 0;
  readonly refusedTotal = Object.fromEntries(REFUSALS.map((reason) => [reason, 0])) as Record<EndpointRefusal, number>;

  refused(reason: EndpointRefusal): void {
    this.refusedTotal[reason]++;
  }

  ended(bytesIn: number, bytesOut: number): void {
    this.streams--;
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
  }
}
