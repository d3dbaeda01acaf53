/** A control channel with a VM: pin checked first, then relay, hello, key confirmation, JSON-RPC; and the next one when it is cut. */
import { HandshakeRefused } from '../shared/channel/refusal.ts';
import { openChannel } from '../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../shared/channel/websocket-transport.ts';
import { VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import type { Vm } from '../shared/rest-api/machines.ts';
import { type LifeTimes, RpcPeer } from '../shared/rpc/peer.ts';
import { type Control, ControlConnection } from './control.ts';
import { isTerminal, note } from './io.ts';
import { acquaintance, nameHere, type PresentedVm, pin } from './known-vms.ts';
import { type Session, signedIn } from './session.ts';

/** @throws VmcError 'wrong-state' while the VM has no identity yet. */
export function presented(session: Pick<Session, 'user'>, vm: Vm): PresentedVm {
  if (vm.identity === undefined)
    throw new VmcError(
      'wrong-state',
      `The VM ${vm.name} has not made itself known yet.`,
      'It does so on its first start, within a minute or so: connect vm list shows when it is ready.',
    );
  return { vmId: vm.vmId, name: nameHere(vm, session.user.userId), ed25519: vm.identity.ed25519 };
}

export interface ChannelOptions {
  /**
   * The backend alone says which VM is meant, and a key will be sent to it: then it must be one that the person has
   * named on this device before.
   */
  refuseStrangers?: boolean;
  /** How soon a VM that is gone shows. Only tests have a reason to set it. */
  life?: LifeTimes;
}

/**
 * A connection that outlives its channels; see control.ts. The first channel is open when it resolves.
 * @throws VmcError 'identity-changed' before anything is sent; 'unreachable', 'channel-closed', 'forbidden'.
 */
export async function openControl(session: Session, vm: Vm, options: ChannelOptions = {}): Promise<Control> {
  const { io } = session;
  const open = (signal: AbortSignal) => openRpc({ ...session, io: { ...io, signal } }, vm, options);
  return new ControlConnection(await open(io.signal), {
    vmName: vm.name,
    open,
    say: (text) => {
      if (isTerminal(io.stderr)) io.stderr.write('\r\x1b[K'); // where a progress line may stand
      note(io, text);
    },
    random: Math.random,
  });
}

/** The key that the backend names is pinned once the VM has proven to hold it, and printed for comparison. */
async function openRpc(session: Session, vm: Vm, options: ChannelOptions): Promise<RpcPeer> {
  const { io, folder, identity, client } = session;
  const peer = presented(session, vm);
  const met = acquaintance(await folder.knownVms(), peer);
  if (met === 'stranger' && options.refuseStrangers === true)
    throw new VmcError(
      'forbidden',
      `The backend says that the drive is attached to the VM ${vm.name}, which this device has never met. No key was sent.`,
      `If you attached it there: connect vm info ${vm.name}, compare the fingerprint with the VM's console, and repeat.`,
    );
  const socket = await signedIn(session, () => client.openRelayToVm(vm.vmId, io.signal));
  const transport = webSocketTransport(socket);
  socket.resume(); // it came paused; from here on the transport listens
  let channel: Awaited<ReturnType<typeof openChannel>>;
  try {
    channel = await openChannel(transport, { identity, peer: peer.ed25519, purpose: 'control', signal: io.signal });
  } catch (error) {
    throw explain(error, vm);
  }
  if (met !== 'known') {
    await folder.changeKnownVms((known) => pinUnlessChanged(known, peer));
    note(
      io,
      `First contact with the VM ${vm.name}: ${fingerprint(peer.ed25519)}\n  Compare this with the VM's console. From now on this device takes no other.`,
    );
  }
  const rpc = new RpcPeer(channel, options.life === undefined ? {} : { life: options.life });
  socket.on('message', () => rpc.heard());
  return rpc;
}

/** Another connect may have pinned a key meanwhile. */
function pinUnlessChanged(known: Parameters<typeof pin>[0], peer: PresentedVm) {
  acquaintance(known, peer);
  return pin(known, peer);
}

export async function withControl<T>(
  session: Session,
  vm: Vm,
  use: (rpc: Control) => Promise<T>,
  options: ChannelOptions = {},
): Promise<T> {
  const rpc = await openControl(session, vm, options);
  try {
    return await use(rpc);
  } finally {
    await rpc.close();
  }
}

/** The VM gives strangers no reason, so the likely ones are said here. */
function explain(error: unknown, vm: Vm): unknown {
  if (error instanceof HandshakeRefused && error.reason === 'closed')
    return new VmcError(
      'channel-closed',
      `The VM ${vm.name} closed the connection during the handshake, and gives no reason.`,
      'It may not know you (its owner, or a co-owner or manager, lets people in: connect vm people add), or the clocks differ by more than 5 minutes (date -u on both sides).',
      { cause: error },
    );
  return error;
}
