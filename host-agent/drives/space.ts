/** Is there room for one more sparse file? Pure. */
import { VmcError } from '../../shared/errors.ts';

export interface SpaceRules {
  /** Bytes that must stay free whatever happens. */
  reserve: number;
  /** A file may grow to this many times what is free now: sparse files are rarely full, and never all at once. */
  overcommit: number;
}

/** @param free bytes that are free in the pool. @throws VmcError 'no-space' that names what is needed and what there is. */
export function checkSpace(pool: string, need: number, free: number, rules: SpaceRules): void {
  const hint = 'Free some space there, or choose a pool on a larger file system (pools in host-agent.toml).';
  if (free < rules.reserve)
    throw new VmcError(
      'no-space',
      `The pool ${pool} has ${mib(free)} free and must keep ${mib(rules.reserve)} in reserve.`,
      hint,
    );
  const most = Math.floor(free * rules.overcommit);
  if (need > most)
    throw new VmcError(
      'no-space',
      `${mib(need)} are asked for; the pool ${pool} has ${mib(free)} free, enough for files of ${mib(most)} (overcommit ${rules.overcommit}).`,
      hint,
    );
}

const mib = (bytes: number) => `${Math.floor(bytes / 1024 / 1024)} MiB`;
