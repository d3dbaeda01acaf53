/**
 * The way into one VM: a grant of the VM for a client certificate, and an endpoint at the backend. Either may end (idle,
 * expired, VM restarted, sleep of this device): the next stream then gets new ones. Both are renewed before they expire.
 */
import type * as z from 'zod';
import { controlMethods } from '../../shared/api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { type Certificate, certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { openControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { ask, type Session, signedIn } from '../session.ts';
import type { PathSource, PoolPath } from './stream-pool.ts';

/** What the VM says of a certificate that may use its tunnel. */
export type Grant = z.output<typeof controlMethods.tunnelOpen.result>;

interface Endpoint {
  endpointId: string;
  host: string;
  port: number;
}

/** `expiresAt`: when the first of grant and endpoint ends, Unix time in milliseconds. */
export interface Access extends PoolPath, Grant {
  endpointId: string;
}

/** Something that ends, and when it is time for the next. Unix times in milliseconds. */
interface Lasting<T> {
  value: T;
  expiresAt: number;
  renewAt: number;
}

/** Its dates are not looked at; the grant's end is. */
const CERTIFICATE_DAYS = 30;
const EXPIRY_MARGIN_MS = 5_000;
/** Renewed when a fifth of its time is left, or ten minutes. */
const RENEW_PART = 0.2;
const RENEW_MOST_MS = 600_000;
const RENEW_AGAIN_MS = 30_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const CLOSE_TIMEOUT_MS = 8_000;
/** Ids of endpoints that may still be open; the backend closes idle ones itself. */
const REMEMBERED_ENDPOINTS = 16;
/** vmc was started again while it was being asked. To ask once more does no harm: a grant is made, or it is renewed. */
const ASK_AT_MOST = 3;

export interface AccessOptions {
  /** PEM of a certificate whose key somebody else has; without it one is made. */
  certificatePem?: string;
}

export class TunnelAccess implements PathSource<Access> {
  readonly #session: Session;
  readonly #vm: Vm;
  readonly #certificate: Certificate;
  readonly certificateSha256: string;
  #rpc: Promise<Control> | undefined;
  /** The VM may hold a grant: it was asked for one. */
  #asked = false;
  /** The newest is the one in use. */
  #endpoints: string[] = [];
  #endpoint: Lasting<Endpoint> | undefined;
  #current: Access | undefined;
  #opening: Promise<Access> | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(session: Session, vm: Vm, { certificatePem }: AccessOptions = {}) {
    this.#session = session;
    this.#vm = vm;
    this.#certificate =
      certificatePem === undefined
        ? makeCertificate('connect', 'clientAuth', CERTIFICATE_DAYS, new Date())
        : { certificatePem, privateKeyPem: '' };
    this.certificateSha256 = certificateSha256(this.#certificate.certificatePem);
  }

  /** Grant and endpoint as they are, or new ones. @throws VmcError the VM's and the backend's; 'unreachable'. */
  async get(): Promise<Access> {
    const now = this.#current;
    return now !== undefined && now.expiresAt - EXPIRY_MARGIN_MS > Date.now() ? now : this.#open(false);
  }

  async renew(failed: Access, endpointToo: boolean): Promise<Access> {
    return this.#current === failed ? this.#open(endpointToo) : this.get();
  }

  /** What this person may reach. Opens no endpoint. */
  async grant(): Promise<Grant> {
    const rpc = await this.#control();
    const params = { certificateSha256: this.certificateSha256 };
    this.#asked = true;
    for (let asked = 1; ; asked++)
      try {
        return await rpc.call(controlMethods.tunnelOpen, params, { signal: this.#session.io.signal });
      } catch (error) {
        if (!(error instanceof VmcError && error.code === 'outcome-unknown') || asked === ASK_AT_MOST) throw error;
      }
  }

  /** Ends the grant and the endpoints, also after Ctrl-C. @returns what could not be ended, which then expires. */
  async close(): Promise<unknown[]> {
    this.#closed = true;
    clearTimeout(this.#renewal);
    const { io } = this.#session;
    const session = { ...this.#session, io: { ...io, signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) } };
    await this.#opening?.catch(() => {});
    const ends = this.#endpoints.map((endpointId) => closeEndpoint(session, endpointId));
    const results = await Promise.allSettled([...ends, this.#closeGrant(session)]);
    return results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  }

  /** All who want a new one at the same time get the same. */
  #open(endpointToo: boolean): Promise<Access> {
    this.#opening ??= this.#openNow(endpointToo).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openNow(endpointToo: boolean): Promise<Access> {
    if (this.#closed) throw new VmcError('cancelled', 'The tunnel was closed.');
    const granted = await this.grant();
    const grant = lasting(granted, granted.expiresAt);
    let endpoint = this.#endpoint;
    if (endpoint === undefined || endpointToo || endpoint.renewAt <= Date.now()) {
      endpoint = await this.#openEndpoint();
      // What does not let anybody through is of no use to the streams that it may still have, either.
      if (endpointToo && this.#endpoint !== undefined)
        closeEndpoint(this.#session, this.#endpoint.value.endpointId).catch(() => {});
      this.#endpoint = endpoint;
    }
    const expiresAt = Math.min(grant.expiresAt, endpoint.expiresAt);
    this.#current = { ...granted, ...endpoint.value, certificate: this.#certificate, expiresAt };
    this.#renewIn(Math.min(grant.renewAt, endpoint.renewAt) - Date.now());
    return this.#current;
  }

  #renewIn(ms: number): void {
    clearTimeout(this.#renewal);
    if (this.#closed) return;
    const renew = () => this.#open(false).catch(() => this.#renewIn(RENEW_AGAIN_MS)); // who needs it hears of a failure
    this.#renewal = setTimeout(renew, Math.min(Math.max(ms, 1_000), LONGEST_TIMER_MS)).unref();
  }

  async #openEndpoint(): Promise<Lasting<Endpoint>> {
    const session = this.#session;
    // It lasts as long as the session: shortly before that ends, the next one begins. The old one lives on for its streams.
    if (this.#endpoint !== undefined && this.#endpoint.renewAt <= Date.now())
      await session.client.signIn(session.identity, { signal: session.io.signal });
    const { endpointId, port, expiresAt } = await signedIn(session, () =>
      ask(session, routes.endpointOpen, { params: { vmId: this.#vm.vmId }, body: {} }),
    );
    this.#endpoints = [...this.#endpoints, endpointId].slice(-REMEMBERED_ENDPOINTS);
    const host = new URL(session.address.url).hostname.replace(/^\[|\]$/g, '');
    return lasting({ endpointId, host, port }, expiresAt);
  }

  /** The control channel stays open, so that the grant can be ended at once; a dead one is replaced when it is needed. */
  #control(): Promise<Control> {
    this.#rpc ??= openControl(this.#session, this.#vm).catch((error: unknown) => {
      this.#rpc = undefined;
      throw error;
    });
    return this.#rpc;
  }

  async #closeGrant(session: Session): Promise<void> {
    if (!this.#asked) return (await this.#rpc)?.close();
    const rpc = await (this.#rpc ?? openControl(session, this.#vm));
    try {
      const params = { certificateSha256: this.certificateSha256 };
      await rpc.call(controlMethods.tunnelClose, params, { timeoutMs: CLOSE_TIMEOUT_MS }).catch(unlessGone);
    } finally {
      await rpc.close();
    }
  }
}

function lasting<T>(value: T, expiresAt: number): Lasting<T> {
  const left = expiresAt - Date.now();
  return { value, expiresAt, renewAt: expiresAt - Math.min(left * RENEW_PART, RENEW_MOST_MS) };
}

async function closeEndpoint(session: Session, endpointId: string): Promise<void> {
  await ask(session, routes.endpointClose, { params: { endpointId }, body: {} }, CLOSE_TIMEOUT_MS).catch(unlessGone);
}

function unlessGone(error: unknown): void {
  if (!(error instanceof VmcError && error.code === 'not-found')) throw error;
}
