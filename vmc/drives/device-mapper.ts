/**
 * cryptsetup(8) and dmsetup(8) on devices of drives. libdevmapper makes the nodes under /dev/mapper itself and waits for nobody,
 * where udev would run two more programs for each change before they go on (DM_DISABLE_UDEV, dmsetup(8)). Nothing in the VM is
 * to look at a drive through udev anyway: systemd/54-vmc-drives.rules, 56-vmc-drives.rules. All of it, or a name that udev had
 * made would go when the next node is there already.
 */
import { type Command, type CommandResult, run } from '../../shared/run.ts';

export const WITHOUT_UDEV = { DM_DISABLE_UDEV: '1' };

export const runOnDevices = (command: Omit<Command, 'env'>): Promise<CommandResult> =>
  run({ ...command, env: WITHOUT_UDEV });
