/** Figures in what tools print. */

/** fstrim -v: '/mnt/data: 1.9 GiB (2040109465 bytes) trimmed' → 2040109465. */
export function parseTrimmedBytes(stdout: string): number | undefined {
  const match = /\((\d+) bytes\) trimmed/.exec(stdout);
  return match === null ? undefined : Number(match[1]);
}

/** The name after CRYPT-LUKS2-<uuid>- in a device-mapper uuid; undefined for mappings that are not LUKS2. */
export function luksMappingName(dmUuid: string): string | undefined {
  return /^CRYPT-LUKS2-[0-9a-f]{32}-(.+)$/.exec(dmUuid.trim())?.[1];
}
