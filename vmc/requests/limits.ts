/** How much of people's requests is remembered, and for how long. */
export interface RequestLimits {
  /** Requests of one person: running and remembered ones together, and running ones alone. */
  perPerson: number;
  runningPerPerson: number;
  /** Bytes of remembered answers of one person. More than the longest answer (1 MiB). */
  bytesPerPerson: number;
  /** The same for everybody together. When so many run, who has none running may still have one. */
  inAll: number;
  runningInAll: number;
  bytesInAll: number;
  /** People of whom something is known. */
  people: number;
  /** Milliseconds for which an answer is remembered: longer than any caller of ours waits for one. */
  rememberMs: number;
  /** Milliseconds for which a call runs on when everybody who waited for it was cut off. */
  graceMs: number;
}

export const REQUEST_LIMITS: RequestLimits = {
  perPerson: 512,
  runningPerPerson: 64,
  bytesPerPerson: 4 * 1024 * 1024,
  inAll: 4096,
  runningInAll: 256,
  bytesInAll: 16 * 1024 * 1024,
  people: 1024,
  rememberMs: 35 * 60_000,
  graceMs: 60_000,
};

/** What a remembered request takes besides its answer: ids, hash, entries of maps. */
export const BYTES_OF_ENTRY = 512;
