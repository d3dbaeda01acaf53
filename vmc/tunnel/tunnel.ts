/** tunnel.open, tunnel.close, tunnel.list: grants for certificates, and the server certificate they are told. */
import type * as z from 'zod';
import type { controlMethods } from '../../shared/api/index.ts';
import type { Right } from '../../shared/api/rights.ts';
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Grants } from './grants.ts';
import type { PortRange } from './parse-ports.ts';
import type { TunnelServer } from './tunnel-server.ts';

const CERTIFICATE_DAYS = 3650;
/** In the server's certificate: strangers learn no version from it, and curl can be told to expect it. */
const NAME = 'vmc';
/** Grants in one answer: at most 256 ranges each, and far below what a message may have. */
const LIST_AT_ONCE = 64;
/** Somebody's rights may change while their access to SFTP is made ready; more often than this they do not. */
const MOST_ATTEMPTS = 10;

/** `undefined`: somebody whom this VM does not know. */
export type RightsNow = () => ReadonlySet<Right> | undefined;

export interface TunnelDeps {
  grants: Grants;
  server: TunnelServer;
  /** What the right `ports` leads to. */
  ports: readonly PortRange[];
  /** `tunnel.readyPerGrant` and `tunnel.readySeconds`, which the device is told. */
  readyPerGrant: number;
  readySeconds: number;
  now: () => Date;
  /**
   * The SFTP access of a person with these rights, made ready: what it names is there when the answer comes. Its port is
   * added to what their grant leads to. @param person their fingerprint. @returns undefined when they may not use it.
   */
  sftpFor?: (person: string, rights: ReadonlySet<Right>) => Promise<SftpAccess | undefined>;
  /** Told when that failed for somebody who may use ports: they get those, for a broken SFTP keeps nobody from their desktop. */
  onSftpFailed?: (error: unknown) => void;
}

export type OpenedTunnel = z.input<typeof controlMethods.tunnelOpen.result>;
export type ListedTunnels = z.input<typeof controlMethods.tunnelList.result>;

export class Tunnel {
  readonly #deps: TunnelDeps;
  #certificate: Promise<string> | undefined;

  constructor(deps: TunnelDeps) {
    this.#deps = deps;
  }

  /**
   * @param rightsNow looked at when it begins, and once more in the very step in which the grant is made.
   * @throws VmcError 'forbidden' when their rights lead nowhere, 'already-exists', 'limit', 'busy'.
   */
  async open(certificateSha256: string, person: string, rightsNow: RightsNow): Promise<OpenedTunnel> {
    const { grants, ports, readyPerGrant, readySeconds } = this.#deps;
    this.#certificate ??= this.#makeCertificate();
    const serverCertificateSha256 = await this.#certificate;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const rights = rightsNow();
      if (rights === undefined) throw nowhere();
      const sftp = await this.#sftpFor(person, rights);
      if (!sameRights(rights, rightsNow())) continue;
      if (!rights.has('ports') && sftp === undefined) throw nowhere();
      const own = rights.has('ports') ? [...ports] : [];
      const all = sftp === undefined ? own : [...own, { from: sftp.port, to: sftp.port }];
      const { expiresAt } = grants.open(certificateSha256, person, all);
      const ready = { connections: readyPerGrant, seconds: readySeconds };
      return { ports: own, ...(sftp === undefined ? {} : { sftp }), serverCertificateSha256, expiresAt, ready };
    }
    throw new VmcError('busy', 'Your rights in this VM are being changed.', 'Try again.');
  }

  /** @returns how many streams were cut. @throws VmcError 'not-found'. */
  close(certificateSha256: string, person: string): number {
    return this.#deps.grants.close(certificateSha256, person);
  }

  /** One's own grants; with the right `stats`, everybody's. @param after the last certificate of the answer before. */
  list(person: string, rights: ReadonlySet<Right> | undefined, after = ''): ListedTunnels {
    const mine = rights?.has('stats') === true ? undefined : person;
    const rest = this.#deps.grants.list(mine).filter(({ certificateSha256 }) => certificateSha256 > after);
    const grants = rest.slice(0, LIST_AT_ONCE).map(({ ports, ...grant }) => ({ ...grant, ports: [...ports] }));
    return { grants, more: rest.length > grants.length };
  }

  async #sftpFor(person: string, rights: ReadonlySet<Right>): Promise<SftpAccess | undefined> {
    const { sftpFor, onSftpFailed } = this.#deps;
    try {
      return await sftpFor?.(person, rights);
    } catch (error) {
      if (!rights.has('ports')) throw error;
      onSftpFailed?.(error);
      return undefined;
    }
  }

  /**
   * Made when first needed, kept in memory, new at each start: its fingerprint goes to each device over the channel, so
   * nothing remembers it, and no key of it lies on a disk.
   */
  async #makeCertificate(): Promise<string> {
    const { makeCertificate, certificateSha256 } = await import('../../shared/net/certificate.ts');
    const certificate = makeCertificate(NAME, 'serverAuth', CERTIFICATE_DAYS, this.#deps.now(), NAME);
    this.#deps.server.useCertificate(certificate);
    return certificateSha256(certificate.certificatePem);
  }
}

const sameRights = (one: ReadonlySet<Right>, other: ReadonlySet<Right> | undefined) =>
  other !== undefined && one.symmetricDifference(other).size === 0;

const nowhere = () =>
  new VmcError(
    'forbidden',
    'The tunnel leads you nowhere: you have neither the right "ports" nor the use of SFTP in this VM.',
    'Ask the owner of the VM, or one of its managers.',
  );
