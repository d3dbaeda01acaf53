/** Every fault point of drives: `<operation>:<step about to begin>`. A test ends vmc at each of them. */
import { faultPoint } from '../../shared/fault-point.ts';

export const CARE_FAULT_POINTS = [
  'drive.format:wipe-signatures',
  'drive.format:luks-format',
  'drive.format:luks-open',
  'drive.format:make-file-system',
  'drive.format:luks-close',
  'drive.format:mark-whole',
  'drive.open:luks-close',
  'drive.open:luks-open',
  'drive.open:check',
  'drive.open:mark-whole',
  'drive.open:mount',
  'drive.open:give-to-people',
  'drive.close:unmount',
  'drive.close:luks-close',
  'drive.close:remove-mount-point',
  'drive.grow:luks',
  'drive.grow:file-system',
  'drive.trim:sync',
  'drive.trim:range',
  'drive.freeze:mark',
  'drive.freeze:arm',
  'drive.freeze:freeze',
  'drive.freeze:answer',
  'drive.thaw:thaw',
  'drive.thaw:disarm',
  'drive.thaw:unmark',
  'drive.settings:write',
] as const;

export const KEY_FAULT_POINTS = [
  'drive.keyAdd:write',
  'drive.keyRemove:write',
  'drive.headerRestore:write',
  'drive.reencrypt:open',
  'drive.reencrypt:begin',
  'drive.reencrypt:write',
  'drive.reencrypt:mirror',
  'drive.reencrypt:move',
  'drive.reencrypt:close',
  'drive.reencrypt:settle',
] as const;

export const MEDIA_FAULT_POINTS = [
  'iso.mount:mount',
  'iso.unmount:unmount',
  'iso.unmount:remove-mount-point',
  'nfs.mount:mount',
  'nfs.mount:verify',
  'nfs.unmount:unmount',
  'nfs.unmount:remove-mount-point',
] as const;

export const FAULT_POINTS = [...CARE_FAULT_POINTS, ...KEY_FAULT_POINTS, ...MEDIA_FAULT_POINTS] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

/** The fault point before a step. */
export const before = (name: FaultPoint): Promise<void> => faultPoint(name);
