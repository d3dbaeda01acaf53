/** What a snapshot builds on, what builds on it, and which may go. Pure. */
import type * as z from 'zod';
import type { Snapshot, snapshotKindSchema, snapshotTargetSchema } from '../../shared/agent-api/snapshots.ts';
import { VmcError } from '../../shared/errors.ts';

/** Snapshots that a restore reads as one; the next one is full. */
export const MAX_CHAIN = 32;

export interface Wanted {
  kind: z.output<typeof snapshotKindSchema>;
  target: z.output<typeof snapshotTargetSchema>;
  format: 'qcow2' | 'raw';
  /** What the drive holds now. */
  sizeBytes: number;
}

/** What the drive's file remembers of what was written since a snapshot: the bitmap of that name, sound and switched on. */
export type HasBitmap = (snapshotId: string) => Promise<boolean>;

export type Plan = { kind: 'incremental'; parentId: string } | { kind: 'full'; fullBecause?: string };

/**
 * Incremental only on the drive's newest snapshot, and only when the drive's own file proves what has changed since:
 * when in doubt, full. @param existing of this drive, oldest first.
 * @throws VmcError 'wrong-state' with the reason when incremental is asked for and cannot be.
 */
export async function planSnapshot(wanted: Wanted, existing: readonly Snapshot[], hasBitmap: HasBitmap): Promise<Plan> {
  if (wanted.kind === 'full') return { kind: 'full' };
  const parent = existing.at(-1);
  const because = await obstacle(wanted, existing, parent, hasBitmap);
  if (because === undefined && parent !== undefined) return { kind: 'incremental', parentId: parent.snapshotId };
  if (wanted.kind === 'incremental')
    throw new VmcError(
      'wrong-state',
      `There can be no incremental snapshot: ${because}.`,
      'Ask for kind auto, or full: the next one can build on that.',
    );
  return { kind: 'full', ...(because === undefined ? {} : { fullBecause: because }) };
}

async function obstacle(
  wanted: Wanted,
  existing: readonly Snapshot[],
  parent: Snapshot | undefined,
  hasBitmap: HasBitmap,
): Promise<string | undefined> {
  if (wanted.format === 'raw') return 'a raw file does not remember what was written to it';
  if (parent === undefined) return 'there is none yet to build on';
  if (parent.target !== wanted.target) return `the newest one, ${parent.snapshotId}, is at another target`;
  if (parent.sizeBytes > wanted.sizeBytes) return `the drive was larger at ${parent.snapshotId}`;
  let chain: Snapshot[];
  try {
    chain = chainOf(existing, parent.snapshotId);
  } catch {
    return `what ${parent.snapshotId} builds on is missing`;
  }
  if (chain.length >= MAX_CHAIN) return `${chain.length} build on each other already, the most there may be`;
  if (!(await hasBitmap(parent.snapshotId)))
    return `the drive's file does not tell for certain what has changed since ${parent.snapshotId}`;
  return undefined;
}

/** A snapshot and all that it builds on, the full one first. @throws VmcError 'not-found', 'bad-data'. */
export function chainOf(snapshots: readonly Snapshot[], snapshotId: string): Snapshot[] {
  const byId = new Map(snapshots.map((it) => [it.snapshotId, it]));
  const chain: Snapshot[] = [];
  for (let id: string | undefined = snapshotId; id !== undefined; id = chain[0]?.parentId) {
    const found = byId.get(id);
    if (found === undefined)
      throw chain.length === 0
        ? new VmcError(
            'not-found',
            `This host has no snapshot ${id}.`,
            '`host-agent snapshot list` shows those it has.',
          )
        : new VmcError('bad-data', `${chain[0]?.snapshotId} builds on ${id}, which is missing.`);
    chain.unshift(found);
    if (chain.length > MAX_CHAIN || (found.kind === 'incremental') !== (found.parentId !== undefined))
      throw new VmcError('bad-data', `The record of ${id} contradicts itself.`);
  }
  return chain;
}

export const buildingOn = (snapshots: readonly Snapshot[], snapshotId: string): string[] =>
  snapshots.filter((it) => it.parentId === snapshotId).map((it) => it.snapshotId);

/**
 * Of one drive: all that the newest `keep` do not need, in an order in which they can be deleted. Whole chains from the
 * oldest on: nothing is merged. @param snapshots oldest first.
 */
export function superfluous(snapshots: readonly Snapshot[], keep: number): string[] {
  const needed = new Set(
    snapshots.slice(-keep).flatMap((it) => chainOf(snapshots, it.snapshotId).map((link) => link.snapshotId)),
  );
  return snapshots
    .map((it) => it.snapshotId)
    .filter((id) => !needed.has(id))
    .reverse();
}
