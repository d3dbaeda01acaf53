/** What opening a drive takes, as it is now. */
import { VmcError } from '../../shared/errors.ts';
import { mappingName } from './names.ts';
import type { Observed } from './observe.ts';

export interface OpenRequest {
  driveId: string;
  /** Where it is to be mounted. */
  mountPoint: string;
  readOnly: boolean;
  /** Its file system is to be repaired first. */
  repair?: boolean;
}

/** already: it is open just so (the key is still to be checked) · reopen: a mapping without a mount is in the way. */
export type OpenPlan = 'already' | 'open' | 'reopen';

/** @throws VmcError 'wrong-state' when it is open elsewhere, blank or of another kind; 'busy' when others hold the device. */
export function planOpen(observed: Observed, request: OpenRequest): OpenPlan {
  const { driveId, content, holders, mounts } = observed;
  const mounted = mounts[0];
  if (mounted !== undefined) {
    if (
      !request.repair &&
      mounts.length === 1 &&
      mounted.mountPoint === request.mountPoint &&
      mounted.readOnly === request.readOnly
    )
      return 'already';
    throw new VmcError(
      'wrong-state',
      `The drive ${driveId} is open on ${mounts.map(({ mountPoint }) => mountPoint).join(', ')}${mounted.readOnly ? ', read-only' : ''}.`,
      'Close it first.',
    );
  }
  const others = holders.filter((name) => name !== mappingName(driveId));
  if (others.length > 0) throw new VmcError('busy', `The drive ${driveId} is in use by ${others.join(', ')}.`);
  if (content === undefined)
    throw new VmcError('wrong-state', `The drive ${driveId} is blank.`, 'Format it first: connect drive format');
  if (content.kind !== 'luks')
    throw new VmcError(
      'wrong-state',
      `The drive ${driveId} is not one of vmc: it holds ${content.description}.`,
      `If it was one, its header is lost; from a backup: connect drive header restore ${driveId} --confirm ${driveId}`,
    );
  return holders.length > 0 ? 'reopen' : 'open';
}
