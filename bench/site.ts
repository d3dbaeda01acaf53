/** Where a measurement takes place: a folder, its processes, and the way to undo all of it. */
import { join } from 'node:path';
import type { Lab } from '../lab/leftovers.ts';
import type { Undo } from '../shared/undo.ts';

export interface Site {
  readonly lab: Lab;
  readonly undo: Undo;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** The core for what is measured on one core. */
  readonly core: number;
  readonly settings: Settings;
  /** Says how far it is; on stderr. */
  note(text: string): void;
}

export interface Settings {
  rounds: number;
  /** About how long one round of one measurement takes. */
  seconds: number;
  /** Sockets that are parked at the relay to see what each costs. */
  parked: number;
  /** Streams of the tunnel that do nothing, to see what each costs. */
  idle: number;
  /** Streams of the tunnel that are opened one after another. */
  inARow: number;
}

export const fileIn = (site: Site, name: string): string => join(site.lab.folder, name);
