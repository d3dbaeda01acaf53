/**
 * In which order the relays of a backend are tried for a VM: rendezvous hashing (Thaler and Ravishankar, 1998). The VM and its
 * users come to the same order without a word, VMs spread evenly, and a relay that comes or goes moves only its own share.
 */

import { utf8 } from '../bytes.ts';
import { sha256 } from '../identity/native.ts';

/** What tells relays apart is their key, not their address: one relay may be reached at several. @returns a new list, best first. */
export function orderRelays<T extends { pin: string }>(vmId: string, relays: readonly T[]): T[] {
  return relays
    .map((relay) => ({ relay, weight: sha256(utf8(`relay order\0${vmId}\0${relay.pin}`)).toHex() }))
    .sort((a, b) => (a.weight < b.weight ? 1 : a.weight > b.weight ? -1 : 0))
    .map(({ relay }) => relay);
}
