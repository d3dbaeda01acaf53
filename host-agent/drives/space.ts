/** Is there room for one more file? Pure. */
import { VmcError } from '../../shared/errors.ts';

export interface SpaceRules {
  /** Bytes that must stay free whatever happens. */
  reserve: number;
  /** A file may grow to this many times what is free now: sparse files are rarely full, and never all at once. */
  overcommit: number;
}

const HINT = 'Free some space there, or choose a pool on a larger file system (pools in host-agent.toml).';

/** For a file that grows as it is written. @param free bytes that are free in the pool. @throws VmcError 'no-space' that names what is needed and what there is. */
export function checkSpace(pool: string, need: number, free: number, rules: SpaceRules): void {
  if (free < rules.reserve)
    throw new VmcError(
      'no-space',
      `The pool ${pool} has ${mib(free)} free and must keep ${mib(rules.reserve)} in reserve.`,
      HINT,
    );
  const most = Math.floor(free * rules.overcommit);
  if (need > most)
    throw new VmcError(
      'no-space',
      `${mib(need)} are asked for; the pool ${pool} has ${mib(free)} free, enough for files of ${mib(most)} (overcommit ${rules.overcommit}).`,
      HINT,
    );
}

/** For one that takes its space now. @throws VmcError 'no-space'. */
export function checkRealSpace(pool: string, need: number, free: number, reserve: number): void {
  if (need + reserve > free)
    throw new VmcError(
      'no-space',
      `${mib(need)} are needed now; the pool ${pool} has ${mib(free)} free and must keep ${mib(reserve)} in reserve.`,
      HINT,
    );
}

/** What a file of `sizeBytes` takes at most: qcow2 has tables besides. */
export const wholeFileBytes = (sizeBytes: number): number => sizeBytes + Math.ceil(sizeBytes / 2048) + 1024 * 1024;

const mib = (bytes: number) => `${Math.floor(bytes / 1024 / 1024)} MiB`;
