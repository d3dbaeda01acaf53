/**
 * The way into one VM: a grant of the VM for a fresh client certificate, and an endpoint at the backend. Either may end
 * (idle, expired, VM restarted, sleep of this device): the next stream then gets new ones.
 */
import { controlMethods } from '../../shared/api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { type Certificate, certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { openControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { ask, type Session, signedIn } from '../session.ts';
import type { PortRange } from './forward-spec.ts';
import type { TunnelPath } from './open-stream.ts';

export interface Access extends TunnelPath {
  ports: readonly PortRange[];
  /** Unix time in milliseconds. */
  expiresAt: number;
}

interface Grant {
  certificate: Certificate;
  ports: readonly PortRange[];
  serverCertificateSha256: string;
  expiresAt: number;
}

const CERTIFICATE_DAYS = 1;
const RENEW_CERTIFICATE_MS = 12 * 3_600_000;
const EXPIRY_MARGIN_MS = 5_000;
const CLOSE_TIMEOUT_MS = 8_000;
/** Ids of endpoints that may still be open; the backend closes idle ones itself. */
const REMEMBERED_ENDPOINTS = 16;

export class TunnelAccess {
  readonly #session: Session;
  readonly #vm: Vm;
  #certificate: { value: Certificate; madeAt: number } | undefined;
  #rpc: Control | undefined;
  /** The VM may hold a grant: it was asked for one. */
  #asked = false;
  #endpoints: string[] = [];
  #current: Access | undefined;
  #opening: Promise<Access> | undefined;

  constructor(session: Session, vm: Vm) {
    this.#session = session;
    this.#vm = vm;
  }

  /** Grant and endpoint as they are, or new ones. */
  get(): Promise<Access> {
    return this.renew(undefined);
  }

  /** New ones unless somebody renewed meanwhile. @param failed what did not work. */
  async renew(failed: Access | undefined): Promise<Access> {
    const now = this.#current;
    if (now !== undefined && now !== failed && now.expiresAt - EXPIRY_MARGIN_MS > Date.now()) return now;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** What this person may reach. Opens no endpoint. */
  async allowedPorts(): Promise<readonly PortRange[]> {
    return (await this.#grant()).ports;
  }

  /** Ends the grant and the endpoints, also after Ctrl-C. @returns what could not be ended, which then expires. */
  async close(): Promise<unknown[]> {
    const { io } = this.#session;
    const session = { ...this.#session, io: { ...io, signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) } };
    await this.#opening?.catch(() => {});
    const ends = this.#endpoints.map((endpointId) =>
      ask(session, routes.endpointClose, { params: { endpointId }, body: {} }, CLOSE_TIMEOUT_MS).catch(unlessGone),
    );
    const results = await Promise.allSettled([...ends, this.#closeGrant(session)]);
    return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  }

  async #open(): Promise<Access> {
    const session = this.#session;
    const grant = await this.#grant();
    const endpoint = await signedIn(session, () =>
      ask(session, routes.endpointOpen, { params: { vmId: this.#vm.vmId }, body: {} }),
    );
    this.#endpoints = [...this.#endpoints, endpoint.endpointId].slice(-REMEMBERED_ENDPOINTS);
    const { expiresAt, ...granted } = grant;
    const access = {
      ...granted,
      host: new URL(session.address.url).hostname.replace(/^\[|\]$/g, ''),
      port: endpoint.port,
      expiresAt: Math.min(expiresAt, endpoint.expiresAt),
    };
    this.#current = access;
    return access;
  }

  async #grant(): Promise<Grant> {
    if (this.#certificate === undefined || Date.now() - this.#certificate.madeAt > RENEW_CERTIFICATE_MS) {
      const value = makeCertificate('connect', 'clientAuth', CERTIFICATE_DAYS, new Date());
      this.#certificate = { value, madeAt: Date.now() };
    }
    const certificate = this.#certificate.value;
    const rpc = await this.#control();
    const params = { certificateSha256: certificateSha256(certificate.certificatePem) };
    this.#asked = true;
    const granted = await rpc.call(controlMethods.tunnelOpen, params, { signal: this.#session.io.signal });
    return { certificate, ...granted };
  }

  /** The control channel stays open, so that the grant can be ended at once; a dead one is replaced when it is needed. */
  async #control(): Promise<Control> {
    this.#rpc ??= await openControl(this.#session, this.#vm);
    return this.#rpc;
  }

  async #closeGrant(session: Session): Promise<void> {
    if (this.#certificate === undefined || !this.#asked) return this.#rpc?.close();
    const rpc = this.#rpc ?? (await openControl(session, this.#vm));
    const params = { certificateSha256: certificateSha256(this.#certificate.value.certificatePem) };
    try {
      await rpc.call(controlMethods.tunnelClose, params, { timeoutMs: CLOSE_TIMEOUT_MS }).catch(unlessGone);
    } finally {
      await rpc.close();
    }
  }
}

function unlessGone(error: unknown): void {
  if (!(error instanceof VmcError && error.code === 'not-found')) throw error;
}
