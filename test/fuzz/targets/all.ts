/** Every target there is: each parser that reads bytes before their sender is known, and those that hostile peers reach. */
import type { Target } from '../target.ts';
import { auditTargets } from './audit.ts';
import { guestTargets } from './guest.ts';
import { helloTargets } from './hellos.ts';
import { hostTargets } from './host.ts';
import { identityTargets } from './identity.ts';
import { recordTargets } from './records.ts';
import { relayTargets } from './relay.ts';
import { requestTargets } from './requests.ts';
import { restTargets } from './rest.ts';
import { controlParamTargets, rpcTargets } from './rpc.ts';
import { sftpTargets } from './sftp.ts';
import { stateTargets } from './state.ts';
import { tunnelTargets } from './tunnel.ts';

export const targets: readonly Target[] = [
  ...helloTargets,
  ...recordTargets,
  ...identityTargets,
  ...relayTargets,
  ...restTargets,
  ...tunnelTargets,
  ...sftpTargets,
  ...rpcTargets,
  ...controlParamTargets,
  ...requestTargets,
  ...stateTargets,
  ...auditTargets,
  ...guestTargets,
  ...hostTargets,
];
