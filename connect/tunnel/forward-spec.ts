/** `8080` or `8080:18080`: a port of the VM, and the local one that leads to it. */
import { VmcError } from '../../shared/errors.ts';
import { shortened } from '../../shared/printable.ts';

export interface ForwardSpec {
  /** 'sftp': the one that the VM names. */
  vmPort: number | 'sftp';
  /** 0: any that is free. */
  localPort: number;
}

export interface PortRange {
  from: number;
  to: number;
}

const isPort = (port: number) => port >= 1 && port <= 65535;

/** @throws VmcError 'bad-request'. */
export function parseForward(text: string): ForwardSpec {
  const [, vm = '0', local] = /^(\d{1,5}|sftp)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const vmPort = vm === 'sftp' ? vm : Number(vm);
  const localPort = Number(local ?? 0);
  if ((vmPort !== 'sftp' && !isPort(vmPort)) || (local !== undefined && !isPort(localPort)))
    throw new VmcError(
      'bad-request',
      `"${shortened(text)}" is not PORT, PORT:LOCALPORT or sftp.`,
      'For example 3389:13389.',
    );
  return { vmPort, localPort };
}

export const portsText = (ranges: readonly PortRange[]): string =>
  ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');

/** @throws VmcError 'forbidden' that names the ports which are allowed. */
export function requireAllowed(vmName: string, allowed: readonly PortRange[], specs: readonly ForwardSpec[]): void {
  const refused = specs.filter(
    ({ vmPort }) => vmPort !== 'sftp' && !allowed.some(({ from, to }) => vmPort >= from && vmPort <= to),
  );
  if (refused.length === 0) return;
  throw new VmcError(
    'forbidden',
    `The VM ${vmName} does not let you reach port ${refused.map(({ vmPort }) => vmPort).join(', ')}.`,
    allowed.length === 0
      ? 'It allows you none: its /etc/vmc/vmc.toml lists ports under [tunnel], and you need the right "ports".'
      : `It allows: ${portsText(allowed)}.`,
  );
}
