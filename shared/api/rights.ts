/** What a person may be allowed in a VM (requirement C9). Decided in the VM, never at the backend. */
export const RIGHTS = [
  'users',
  'drives',
  'drives.full',
  'files',
  'upload',
  'download',
  'terminal',
  'terminal.others',
  'apps',
  'directories',
  'groups',
  'stats',
  'ports',
  'audit',
] as const;

export type Right = (typeof RIGHTS)[number];
/** `member`: any person this VM knows. */
export type MethodRight = Right | 'member';
