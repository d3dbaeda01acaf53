/** Hosts: registering, enrolling, listing. */
import type * as z from 'zod';
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { toBase64 } from '../../shared/names.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import type { hostSchema } from '../../shared/rest-api/machines.ts';
import type { Handlers } from '../rest/handler.ts';
import { isAdmin } from '../rest/sessions.ts';
import { makeId, makeToken, matchesHash, sha256 } from '../store/hashes.ts';
import type { HostRow } from '../store/hosts.ts';
import type { Store } from '../store/store.ts';
import type { HostLinks } from './links.ts';

export interface HostDeps {
  store: Store;
  links: HostLinks;
  now: () => number;
}

export function hostHandlers({ store, links, now }: HostDeps): Pick<Handlers, 'hostAdd' | 'hostList' | 'hostEnrol'> {
  return {
    async hostAdd({ body: { name } }, request) {
      const hostId = makeId('host-', 6);
      const token = makeToken();
      request.target = hostId;
      store.hosts.add({ hostId, name, tokenHash: sha256(token), createdAt: now() });
      return { hostId, enrolToken: toBase64(token) };
    },

    async hostList(_input, { account }) {
      const hosts = store.hosts.list().map((host) => describeHost(host, links));
      // A report names every VM of a host: for administrators only.
      return { hosts: isAdmin(account) ? hosts : hosts.map(({ report: _, ...host }) => host) };
    },

    async hostEnrol({ body: { hostId, enrolToken, identity, address, signature } }, request) {
      const host = store.hosts.get(hostId);
      const { ed25519, x25519, mlkem768 } = identity;
      const parts = [enrolToken, utf8(hostId), ed25519, x25519, mlkem768, utf8(address)];
      if (
        host === undefined ||
        !matchesHash(enrolToken, host.tokenHash) ||
        !verifyStatement(ed25519, statementContexts.enrolHost, parts, signature)
      )
        throw refusedEnrolment();
      requireOutside(address, request.address);
      request.actor = hostId;
      request.target = hostId;
      const keys = { ed25519, identity: JSON.stringify(publicIdentityToJson(identity)), address };
      if (!store.hosts.enrol(hostId, keys)) throw enrolledAlready('host');
      return {};
    },
  };
}

/**
 * Endpoints connect to the address that the host names: it must not lead to the backend's own loopback, nor to what only
 * its own link has (169.254.169.254 gives a cloud machine's secrets), and has to be one that a host can have.
 */
function requireOutside(address: string, source: string): void {
  const isLoopback = (it: string) => it.startsWith('127.') || it === '::1';
  const isNoHost = /^(0|169\.254|22[4-9]|2[3-5]\d)\./.test(address);
  if (isNoHost || (isLoopback(address) && !isLoopback(source)))
    throw new VmcError('bad-request', `${address} is not an address at which a host is reached from elsewhere.`);
}

export const refusedEnrolment = () =>
  new VmcError(
    'unauthenticated',
    'The enrolment is refused: the id, the token or the signature is wrong.',
    'Use the id and the token that were given together.',
  );

export const enrolledAlready = (what: 'host' | 'VM') =>
  new VmcError(
    'forbidden',
    `This ${what} has enrolled with other keys already. They are learned once.`,
    `If the ${what} lost its keys, register it anew. If not, someone else has used its token: find out who.`,
  );

function describeHost(host: HostRow, links: HostLinks): z.input<typeof hostSchema> {
  const report = links.report(host.hostId);
  return {
    hostId: host.hostId,
    name: host.name,
    state: host.ed25519 === null ? 'new' : links.isLinked(host.hostId) ? 'active' : 'down',
    ...(host.address === null ? {} : { address: host.address }),
    ...(host.lastSeenAt === null ? {} : { lastSeenAt: host.lastSeenAt }),
    ...(report === undefined ? {} : { report }),
  };
}
