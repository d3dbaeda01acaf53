/** Every method of a `control` channel. To add a capability: one file here, one in the feature's folder. */
import { auditMethods } from './audit.ts';
import { driveMethods } from './drive.ts';
import { driveCareMethods } from './drive-care.ts';
import { driveKeyMethods } from './drive-keys.ts';
import { mediaMethods } from './media.ts';
import { peopleMethods } from './people.ts';
import { systemMethods } from './system.ts';
import { tunnelMethods } from './tunnel.ts';

export const controlMethods = {
  ...systemMethods,
  ...driveMethods,
  ...driveKeyMethods,
  ...mediaMethods,
  ...driveCareMethods,
  ...peopleMethods,
  ...tunnelMethods,
  ...auditMethods,
};
