/** The host that a person means. */
import { routes } from '../../shared/rest-api/index.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session } from '../session.ts';

/** By name or id. */
export async function findHostId(session: Session, wanted: string): Promise<string> {
  const { hosts } = await ask(session, routes.hostList, { params: {}, body: {} });
  return resolve(hosts, (host) => host.hostId, wanted, 'host').hostId;
}
