/** Snapshots as people read them. */
import type { Forgotten } from '../agent-api/snapshots.ts';

export function forgottenText(forgotten: readonly Forgotten[]): string {
  if (forgotten.length === 0) return 'nothing was unfinished';
  return forgotten
    .flatMap(({ snapshotId, doing, remains }) => [
      `${snapshotId}  ${doing === 'making' ? 'was not finished' : 'deleted'}${remains.length === 0 ? '' : '; on the server there may remain:'}`,
      ...remains.map((path) => `  ${path}`),
    ])
    .join('\n');
}
