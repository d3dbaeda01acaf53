/** Whether a file system's root folder is still as it was made. Pure. */

/** What mkfs makes, and what a crash in the middle of giveToPeople leaves. */
const FRESH_MODES = [0o755, 0o2770];

/** @param root its owner, group and mode (12 bits). @param names what is in it. */
export function isFreshRoot(root: { uid: number; gid: number; mode: number }, names: readonly string[]): boolean {
  const isRoots = root.uid === 0 && root.gid === 0 && FRESH_MODES.includes(root.mode);
  return isRoots && names.every((name) => name === 'lost+found');
}
