/** What a passphrase slot costs to try: as much as this VM bears, and never so much that opening a drive harms it. */

const MiB = 1024 * 1024;
const LEAST_BYTES = 64 * MiB;
const MOST_BYTES = 1024 * MiB;

/** @returns options of cryptsetup: argon2id with a quarter of the free memory, 64 MiB to 1 GiB, for about two seconds here. */
export function passphraseCost(availableBytes: number, cpus: number): string[] {
  const memory = Math.min(MOST_BYTES, Math.max(LEAST_BYTES, availableBytes / 4));
  return [
    ...['--pbkdf', 'argon2id', '--iter-time', '2000'],
    ...[
      '--pbkdf-memory',
      String(Math.floor(memory / 1024)),
      '--pbkdf-parallel',
      String(Math.min(4, Math.max(1, cpus))),
    ],
  ];
}

/** 32 random bytes: there is nothing to stretch, so the slot's derivation is the cheapest that LUKS2 allows. */
export const KEY_COST = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--hash', 'sha256'] as const;
