/** Three network namespaces stand for three machines: the user's device, the backend server and the VM host. */
import { VmcError } from '../shared/errors.ts';
import { run } from '../shared/run.ts';
import type { Undo } from '../shared/undo.ts';
import { type Lab, removeNamespace } from './leftovers.ts';

export interface Network {
  /** Names for `ip netns exec`. */
  user: string;
  backend: string;
  vmhost: string;
}

/** Who has which address. The user reaches the backend, the backend the VM host, and nobody anything else. */
export const ADDRESSES = {
  user: '10.91.1.2',
  backendForUser: '10.91.1.1',
  backendForVmhost: '10.91.2.1',
  vmhost: '10.91.2.2',
} as const;

/** The argv that runs a command in a namespace: `[file, ...args]`. */
export function inNamespace(namespace: string, file: string, args: readonly string[] = []): [string, ...string[]] {
  return ['ip', 'netns', 'exec', namespace, file, ...args];
}

/** Makes the three, joined by two cables. Only the VM host forwards: what the agent's rules let through. */
export async function createNetwork(lab: Lab, undo: Undo): Promise<Network> {
  const network: Network = {
    user: `vmc-${lab.id}-user`,
    backend: `vmc-${lab.id}-backend`,
    vmhost: `vmc-${lab.id}-vmhost`,
  };
  for (const namespace of Object.values(network)) {
    await lab.addNamespace(namespace);
    undo.add(`namespace ${namespace}`, async () => {
      await removeNamespace(namespace);
      await lab.forgetNamespace(namespace);
    });
    await ip(['netns', 'add', namespace]);
    await ip(['-n', namespace, 'link', 'set', 'lo', 'up']);
    await setForwarding(namespace, namespace === network.vmhost);
  }
  await cable([network.user, 'backend', ADDRESSES.user], [network.backend, 'user', ADDRESSES.backendForUser]);
  await cable([network.backend, 'vmhost', ADDRESSES.backendForVmhost], [network.vmhost, 'backend', ADDRESSES.vmhost]);
  return network;
}

type End = readonly [namespace: string, device: string, address: string];

/** Both ends are born inside their namespaces, so their names clash with nobody's. */
async function cable(a: End, b: End): Promise<void> {
  await ip(['link', 'add', 'name', a[1], 'netns', a[0], 'type', 'veth', 'peer', 'name', b[1], 'netns', b[0]]);
  for (const [namespace, device, address] of [a, b]) {
    await ip(['-n', namespace, 'address', 'add', `${address}/24`, 'dev', device]);
    await ip(['-n', namespace, 'link', 'set', device, 'up']);
  }
}

async function setForwarding(namespace: string, on: boolean): Promise<void> {
  // A new namespace may copy the machine's setting, so it is always set; tee, because sysctl is not on every machine.
  const [file, ...args] = inNamespace(namespace, 'tee', ['/proc/sys/net/ipv4/ip_forward']);
  await run({ file, args, stdin: on ? '1' : '0', timeoutMs: 10_000 });
}

async function ip(args: readonly string[]): Promise<void> {
  try {
    await run({ file: 'ip', args, timeoutMs: 10_000 });
  } catch (error) {
    if (process.getuid?.() !== 0)
      throw new VmcError('forbidden', 'Network namespaces need root', 'Run as root.', { cause: error });
    throw error;
  }
}
