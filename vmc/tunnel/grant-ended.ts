/** What the audit log says of a grant that has ended. */
import type { EventFields } from '../../shared/audit/record.ts';
import type { Grant, GrantEnd, GrantUse } from './grants.ts';

/** `tunnel.end`: whose, which certificate, how many streams it ever had, and their bytes from the device and to it. */
export function grantEnded({ person, certificateSha256 }: Grant, use: GrantUse, why: GrantEnd): EventFields {
  const target = `${certificateSha256} streams=${use.streamsTotal} in=${use.bytesIn} out=${use.bytesOut}`;
  return { who: person, what: 'tunnel.end', target, result: why };
}
