/** Putting LUKS2 and an empty file system on a drive, step by step, each undone when a later one fails. */
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import type { Undo } from '../../shared/undo.ts';
import { before } from './fault-points.ts';
import { makeFileSystem, wipeSignatures, zeroStart } from './file-system.ts';
import { luksClose, luksFormat, luksOpen } from './luks.ts';
import { markWhole } from './mark-whole.ts';
import { mappingName, mappingPath } from './names.ts';
import { type Observed, observe } from './observe.ts';
import { type FormatRequest, type FormatStep, planFormat, type Resume } from './plan-format.ts';
import { signatureOf } from './signature.ts';

const STEP_WORDS: Record<FormatStep['step'], string> = {
  'wipe-signatures': 'removing what was there',
  'luks-format': 'writing the LUKS header',
  'luks-open': 'unlocking',
  'make-file-system': 'making the file system',
  'luks-close': 'locking',
  'mark-whole': 'finishing',
};
/** Too late to cancel. */
const LAST_STEPS: FormatStep['step'][] = ['luks-close', 'mark-whole'];

export interface FormatWork extends Pick<CallContext, 'progress' | 'signal'> {
  request: FormatRequest & { key: Uint8Array };
  device: string;
  /** Inherited by what writes. */
  lock: number;
}

/** @throws VmcError 'busy', 'not-blank', 'no-space': nothing was changed then. */
export async function format(work: FormatWork, undo: Undo): Promise<void> {
  const { request, progress, signal } = work;
  const found = await clearedOfLeftovers(work);
  const steps = planFormat(found, { ...request, resume: await leftOf(found, request) });
  for (const [done, step] of steps.entries()) {
    if (signal.aborted && !LAST_STEPS.includes(step.step)) throw new VmcError('cancelled', 'Formatting was cancelled.');
    progress({ step: STEP_WORDS[step.step], done, total: steps.length, unit: 'items' });
    await before(`drive.format:${step.step}`);
    await takeStep(step, found, work, undo);
  }
}

/** A format that a crash ended left the volume open; nobody's data are in it. @throws VmcError 'busy' when somebody uses it. */
async function clearedOfLeftovers({ request: { driveId }, device }: FormatWork): Promise<Observed> {
  const found = await observe(driveId, device);
  const isLeftOver = found.mounts.length === 0 && found.content?.kind === 'luks' && found.content.unfinished;
  if (!isLeftOver || !found.holders.includes(mappingName(driveId))) return found;
  await luksClose(driveId);
  return observe(driveId, device);
}

/**
 * What there is of a format of the same key that was cut short. The label alone proves nothing, as the host could have set
 * it: what is inside decides, and a file system that is whole is never overwritten.
 */
async function leftOf(found: Observed, request: FormatWork['request']): Promise<Resume> {
  const { driveId, device, content, holders } = found;
  if (request.overwrite !== undefined || content?.kind !== 'luks' || !content.unfinished || holders.length > 0)
    return undefined;
  try {
    await luksOpen(driveId, device, request.key, { readOnly: true });
  } catch (error) {
    if (error instanceof VmcError && ['wrong-key', 'bad-data'].includes(error.code)) return undefined;
    throw error;
  }
  try {
    const inside = await signatureOf(mappingPath(driveId));
    if (inside === undefined || (inside.type === 'xfs' && inside.dirty === true)) return 'begin';
    return inside.type === request.fileSystem ? 'finish' : undefined;
  } finally {
    await luksClose(driveId);
  }
}

async function takeStep(step: FormatStep, found: Observed, work: FormatWork, undo: Undo): Promise<void> {
  const { device, driveId } = found;
  const { request, lock } = work;
  switch (step.step) {
    case 'wipe-signatures':
      return wipeSignatures(device);
    case 'luks-format':
      if (found.content === undefined) undo.add('empty the drive again', () => zeroStart(device));
      return luksFormat(device, request.key, lock);
    case 'luks-open':
      await luksOpen(driveId, device, request.key, { readOnly: false });
      undo.add('lock the drive', () => luksClose(driveId));
      return;
    case 'make-file-system':
      await makeFileSystem(mappingPath(driveId), step.fileSystem, lock);
      undo.commit(); // the drive is as it should be: only locking it is left
      undo.add('lock the drive', () => luksClose(driveId));
      return;
    case 'luks-close':
      await luksClose(driveId);
      undo.commit();
      return;
    case 'mark-whole':
      return markWhole(device);
    default:
      return step satisfies never;
  }
}
