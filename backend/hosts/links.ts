/** The host agents that are connected, what they last reported, and calls to them. */
import type { WebSocket } from 'ws';
import {
  HOST_REPORT,
  type HostReport,
  hostLinkAnswerSchema,
  hostReportSchema,
  type VmStatus,
} from '../../shared/agent-api/index.ts';
import { linkPipe } from '../../shared/agent-api/link-pipe.ts';
import { utf8 } from '../../shared/bytes.ts';
import { webSocketTransport } from '../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../shared/errors.ts';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import type { Method, ParamsIn, ResultOut } from '../../shared/rpc/method.ts';
import { type CallOptions, RpcPeer } from '../../shared/rpc/peer.ts';
import { demandProof } from '../net/demand-proof.ts';
import type { Heartbeat } from '../net/heartbeat.ts';

export interface HostLinksDeps {
  /** The host's Ed25519 key; undefined for a host that is unknown or has not enrolled. */
  hostKey(hostId: string): Uint8Array | undefined;
  pin: string;
  heartbeat: Heartbeat;
  linked(hostId: string): void;
  lost(hostId: string): void;
  reported(hostId: string, report: HostReport): void;
  badReport(hostId: string): void;
}

interface Link {
  socket: WebSocket;
  peer: RpcPeer;
}

const DEFAULT_TIMEOUT_MS = 120_000;

export class HostLinks {
  readonly #deps: HostLinksDeps;
  readonly #links = new Map<string, Link>();
  /** At most one for each host that exists; kept after its link is gone. */
  readonly #reports = new Map<string, HostReport>();
  /** By host, then by VM: the last report, and the answers to calls since. */
  readonly #vms = new Map<string, Map<string, VmStatus>>();

  constructor(deps: HostLinksDeps) {
    this.#deps = deps;
  }

  /** @param known called when the socket has proven who it is. */
  accept(socket: WebSocket, known: () => void): void {
    demandProof(socket, {
      answer: hostLinkAnswerSchema,
      check: ({ hostId, signature }, challenge) => {
        const key = this.#deps.hostKey(hostId);
        if (key === undefined) return undefined;
        const parts = [challenge, utf8(hostId), utf8(this.#deps.pin)];
        const signed = new Uint8Array(Buffer.from(signature, 'base64'));
        return verifyStatement(ed25519PublicKey(key), statementContexts.hostLink, parts, signed) ? hostId : undefined;
      },
      proven: (hostId) => {
        known();
        this.#link(hostId, socket);
      },
    });
  }

  isLinked(hostId: string): boolean {
    return this.#links.has(hostId);
  }

  report(hostId: string): HostReport | undefined {
    return this.#reports.get(hostId);
  }

  /** What the host last said of a VM, whether or not it is linked now. */
  vmStatus(hostId: string, vmId: string): VmStatus | undefined {
    return this.#vms.get(hostId)?.get(vmId);
  }

  /** A fresher word on one VM than the last report's: the answer to a call. */
  learn(hostId: string, status: VmStatus): void {
    const vms = this.#vms.get(hostId) ?? new Map<string, VmStatus>();
    this.#vms.set(hostId, vms);
    if (status.state === 'absent') vms.delete(status.vmId);
    else vms.set(status.vmId, status);
  }

  /** @throws VmcError 'unreachable' without a link, and whatever the agent answers. */
  async call<M extends Method>(
    hostId: string,
    method: M,
    params: ParamsIn<M>,
    options: CallOptions = {},
  ): Promise<ResultOut<M>> {
    const link = this.#links.get(hostId);
    if (link === undefined)
      throw new VmcError(
        'unreachable',
        `The agent of host ${hostId} is not connected.`,
        'Is the host up? On it, `host-agent doctor` says what is wrong.',
      );
    return link.peer.call(method, params, { timeoutMs: DEFAULT_TIMEOUT_MS, ...options });
  }

  #link(hostId: string, socket: WebSocket): void {
    const peer = new RpcPeer(linkPipe(webSocketTransport(socket)), {
      onNotification: (method, params) => {
        if (method === HOST_REPORT && this.#links.get(hostId)?.peer === peer) this.#takeReport(hostId, params);
      },
    });
    socket.on('message', () => peer.heard());
    const older = this.#links.get(hostId);
    this.#links.set(hostId, { socket, peer });
    older?.socket.terminate();
    this.#deps.heartbeat.watch(socket);
    socket.once('close', () => {
      if (this.#links.get(hostId)?.peer !== peer) return; // a newer link took over
      this.#links.delete(hostId);
      this.#deps.lost(hostId);
    });
    this.#deps.linked(hostId);
  }

  #takeReport(hostId: string, params: unknown): void {
    const parsed = hostReportSchema.safeParse(params);
    if (!parsed.success) {
      this.#deps.badReport(hostId);
      return;
    }
    this.#reports.set(hostId, parsed.data);
    this.#vms.set(hostId, new Map(parsed.data.vms.map((vm) => [vm.vmId, vm])));
    this.#deps.reported(hostId, parsed.data);
  }
}
