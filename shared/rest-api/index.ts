/** Every REST route. Errors are `{error: {code, message, hint?}}` with the HTTP status of `ERROR_STATUS`. */
import type { ErrorCode } from '../errors.ts';
import { accountRoutes } from './accounts.ts';
import { driveCareRoutes } from './drive-care.ts';
import { drivePeopleRoutes } from './drive-people.ts';
import { endpointRoutes } from './endpoints.ts';
import { isoRoutes } from './isos.ts';
import { jobRoutes } from './jobs.ts';
import { machineRoutes } from './machines.ts';
import { vmDriveRoutes } from './vm-drives.ts';
import { vmPeopleRoutes } from './vm-people.ts';

export const routes = {
  ...accountRoutes,
  ...machineRoutes,
  ...isoRoutes,
  ...vmDriveRoutes,
  ...endpointRoutes,
  ...vmPeopleRoutes,
  ...driveCareRoutes,
  ...drivePeopleRoutes,
  ...jobRoutes,
};

/** Codes that do not appear are 500. */
export const ERROR_STATUS: Partial<Record<ErrorCode, number>> = {
  'bad-request': 400,
  'bad-data': 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'already-exists': 409,
  busy: 409,
  'wrong-state': 409,
  limit: 429,
  'no-space': 507,
  unreachable: 503,
  'libvirt-down': 503,
  timeout: 504,
};
