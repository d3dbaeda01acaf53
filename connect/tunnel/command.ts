/** `connect tunnel`: ports of the VM on 127.0.0.1, until Ctrl-C. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, writeAtomic } from '../../shared/files.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { fileRights, requireSftp } from '../sftp/requires-sftp.ts';
import { findVm } from '../vm/find.ts';
import type { Grant } from './access.ts';
import { tunnelByHand } from './by-hand.ts';
import { type ForwardSpec, parseForward, portsText, requireAllowed } from './forward-spec.ts';
import { type ForwardedPort, untilStopped, withTunnel } from './open-tunnel.ts';
import { rdpFile } from './rdp-file.ts';
import { StatusLine } from './status-line.ts';

const MAX_FORWARDS = 64;
const RDP_PORT = 3389;

interface TunnelOptions {
  json?: boolean;
  rdp?: string | true;
  force?: boolean;
  certificate?: string;
}

export function addTunnelCommand(program: Command, io: ConnectIo): void {
  program
    .command('tunnel')
    .description('Reach TCP ports of a VM on 127.0.0.1 until Ctrl-C. Without ports: list those you may reach')
    .argument('<vm>', 'name or id')
    .argument(
      '[ports...]',
      'PORT or PORT:LOCALPORT, "sftp" for the port of SFTP; without LOCALPORT a free one is taken',
    )
    .option('--rdp [file]', 'port 3389, and a .rdp file that leads to it (default: VM.rdp)')
    .option('--force', 'replace a file that is there')
    .addOption(
      new Option('--certificate <file>', 'let curl or openssl in, by a certificate (PEM) whose key you have').conflicts(
        'rdp',
      ),
    )
    .option('--json', 'one JSON object for each port, and one with "event" when the way breaks or is back')
    .addHelpText(
      'after',
      '\nExample:\n  connect tunnel lab\n  connect tunnel lab 3389:13389 8080 sftp\n  connect tunnel lab --rdp desktop.rdp\n  connect tunnel lab --certificate client.pem',
    )
    .action((wanted: string, ports: string[], options: TunnelOptions, command: Command) => {
      const { json, rdp, certificate } = options;
      const specs = ports.map(parseForward);
      if (rdp !== undefined && !specs.some(({ vmPort }) => vmPort === RDP_PORT))
        specs.push({ vmPort: RDP_PORT, localPort: 0 });
      if (specs.length > MAX_FORWARDS) throw new VmcError('limit', `At most ${MAX_FORWARDS} ports at once.`);
      if (certificate !== undefined && specs.length > 0)
        throw new VmcError('bad-request', 'With --certificate no ports are opened here: your client asks for them.');
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        if (certificate !== undefined) await tunnelByHand(session, vm, json, certificate);
        else if (specs.length === 0) await listPorts(session, json, vm);
        else await forward(session, vm, specs, options);
      });
    });
}

async function listPorts(session: Session, json: boolean | undefined, vm: Vm): Promise<void> {
  const { ports, sftp } = await withTunnel(session, vm, ({ access }) => access.grant());
  reply(session.io, json, { vm: vm.name, ports, ...(sftp === undefined ? {} : { sftp }) }, () =>
    [
      ports.length === 0 ? 'none' : portsText(ports),
      ...(sftp === undefined ? [] : [`sftp: ${fileRights(sftp)}, as ${sftp.user}`]),
    ].join('\n'),
  );
}

async function forward(session: Session, vm: Vm, specs: readonly ForwardSpec[], options: TunnelOptions): Promise<void> {
  const { io } = session;
  const status = new StatusLine(io, vm.name, options.json === true);
  await withTunnel(
    session,
    vm,
    async (tunnel) => {
      const wanted = portsOf(vm.name, await tunnel.access.get(), specs);
      const forwarded: ForwardedPort[] = [];
      for (const { vmPort, localPort } of wanted) forwarded.push(await tunnel.listen(vmPort, localPort));
      for (const { vmPort, port } of forwarded) {
        const line = { local: `127.0.0.1:${port}`, localPort: port, vm: vm.name, port: vmPort };
        reply(io, options.json, line, () => `${line.local} → ${vm.name}:${line.port}`);
      }
      await writeRdp(io, vm.name, forwarded, options);
      tunnel.warm();
      try {
        status.start(forwarded);
        await untilStopped(io); // Ctrl-C is how a tunnel ends: no failure
      } finally {
        status.end();
      }
    },
    { onState: (state, why) => status.state(state, why) },
  );
}

/** @throws VmcError 'forbidden' that names what is allowed. */
function portsOf(vmName: string, { ports, sftp }: Grant, specs: readonly ForwardSpec[]) {
  requireAllowed(vmName, ports, specs);
  return specs.map(({ vmPort, localPort }) => ({
    vmPort: vmPort === 'sftp' ? requireSftp(vmName, sftp).port : vmPort,
    localPort,
  }));
}

/** Nothing in it is secret. @throws VmcError 'already-exists'. */
async function writeRdp(
  io: ConnectIo,
  vmName: string,
  forwarded: readonly ForwardedPort[],
  { rdp, force }: TunnelOptions,
): Promise<void> {
  const port = forwarded.find(({ vmPort }) => vmPort === RDP_PORT)?.port;
  if (rdp === undefined || port === undefined) return;
  const path = rdp === true ? `${vmName}.rdp` : rdp;
  try {
    if (force === true) await writeAtomic(path, rdpFile(port), 0o600);
    else await writeFile(path, rdpFile(port), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (isErrno(error, 'EEXIST'))
      throw new VmcError(
        'already-exists',
        `${path} is there already.`,
        'Replace it: --force. Or name another: --rdp FILE',
      );
    throw new VmcError('bad-request', `${path} cannot be written: ${(error as Error).message}.`);
  }
  note(
    io,
    `${path} leads to ${vmName}. It is good while this runs; clipboard and drives of this device stay out of the VM.`,
  );
}
