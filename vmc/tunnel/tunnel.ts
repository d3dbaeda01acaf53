/** tunnel.open and tunnel.close: grants for certificates, and the server certificate they are told. */
import type * as z from 'zod';
import type { controlMethods } from '../../shared/api/index.ts';
import type { Right } from '../../shared/api/rights.ts';
import { VmcError } from '../../shared/errors.ts';
import { VERSION } from '../version.ts';
import type { Grants } from './grants.ts';
import type { PortRange } from './parse-ports.ts';
import type { TunnelServer } from './tunnel-server.ts';

const CERTIFICATE_DAYS = 3650;

export interface TunnelDeps {
  grants: Grants;
  server: TunnelServer;
  ports: readonly PortRange[];
  now: () => Date;
}

export type OpenedTunnel = z.input<typeof controlMethods.tunnelOpen.result>;

/** Connections of one certificate that may wait for their CONNECT, and for how many seconds. */
const READY = { connections: 0, seconds: 0 };

export class Tunnel {
  readonly #deps: TunnelDeps;
  #certificate: Promise<string> | undefined;
  #certificateSha256 = '';

  constructor(deps: TunnelDeps) {
    this.#deps = deps;
  }

  /** Before `open`, which waits for nothing: so the caller's rights can be looked at right before it. */
  async prepare(): Promise<void> {
    this.#certificate ??= this.#makeCertificate();
    this.#certificateSha256 = await this.#certificate;
  }

  /** @throws VmcError 'forbidden' when their rights lead nowhere, 'already-exists', 'limit'. */
  open(certificateSha256: string, person: string, rights: ReadonlySet<Right> | undefined): OpenedTunnel {
    if (rights?.has('ports') !== true)
      throw new VmcError('forbidden', 'This needs the right "ports" in this VM.', 'Ask its owner or a manager.');
    const { expiresAt } = this.#deps.grants.open(certificateSha256, person);
    return {
      ports: [...this.#deps.ports],
      serverCertificateSha256: this.#certificateSha256,
      expiresAt,
      ready: READY,
    };
  }

  /** @returns how many streams were cut. @throws VmcError 'not-found'. */
  close(certificateSha256: string, person: string): number {
    return this.#deps.grants.close(certificateSha256, person);
  }

  /**
   * Made when first needed, kept in memory, new at each start: its fingerprint goes to each device over the channel, so
   * nothing remembers it, and no key of it lies on a disk.
   */
  async #makeCertificate(): Promise<string> {
    const { makeCertificate, certificateSha256 } = await import('../../shared/net/certificate.ts');
    const certificate = makeCertificate(`vmc ${VERSION}`, 'serverAuth', CERTIFICATE_DAYS, this.#deps.now());
    this.#deps.server.useCertificate(certificate);
    return certificateSha256(certificate.certificatePem);
  }
}
