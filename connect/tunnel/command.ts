/** `connect tunnel`: ports of the VM on 127.0.0.1, until Ctrl-C. */
import type { Command } from 'commander';
import { publicError, VmcError } from '../../shared/errors.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { type Session, withSession } from '../session.ts';
import { findVm } from '../vm/find.ts';
import { TunnelAccess } from './access.ts';
import { type ForwardSpec, parseForward, portsText, requireAllowed } from './forward-spec.ts';
import { type LocalPort, listenLocally } from './local-port.ts';
import { StreamPool } from './stream-pool.ts';

const MAX_FORWARDS = 64;

export function addTunnelCommand(program: Command, io: ConnectIo): void {
  program
    .command('tunnel')
    .description('Reach TCP ports of a VM on 127.0.0.1 until Ctrl-C. Without ports: list those you may reach')
    .argument('<vm>', 'name or id')
    .argument('[ports...]', 'PORT or PORT:LOCALPORT; without LOCALPORT a free one is taken')
    .option('--json', 'one JSON object for each port')
    .addHelpText('after', '\nExample:\n  connect tunnel lab\n  connect tunnel lab 3389:13389 8080')
    .action((wanted: string, ports: string[], { json }: { json?: boolean }, command: Command) => {
      const specs = ports.map(parseForward);
      if (specs.length > MAX_FORWARDS) throw new VmcError('limit', `At most ${MAX_FORWARDS} ports at once.`);
      return withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const access = new TunnelAccess(session, vm);
        try {
          if (specs.length === 0) await listPorts(io, json, vm, access);
          else await forward(session, json, vm, access, specs);
        } finally {
          for (const error of await access.close())
            note(io, `connect: not everything could be ended, it will expire: ${publicError(error).message}`);
        }
      });
    });
}

async function listPorts(io: ConnectIo, json: boolean | undefined, vm: Vm, access: TunnelAccess): Promise<void> {
  const ports = (await access.grant()).ports;
  reply(io, json, { vm: vm.name, ports }, () => (ports.length === 0 ? 'none' : portsText(ports)));
}

async function forward(
  session: Session,
  json: boolean | undefined,
  vm: Vm,
  access: TunnelAccess,
  specs: readonly ForwardSpec[],
): Promise<void> {
  const { io } = session;
  requireAllowed(vm.name, (await access.get()).ports, specs);
  const pool = new StreamPool(access);
  const listening: LocalPort[] = [];
  try {
    for (const { vmPort, localPort } of specs)
      listening.push(
        await listenLocally({
          port: localPort,
          open: (gone, early) => pool.open(vmPort, AbortSignal.any([gone, io.signal]), early),
          onProblem: (error) => problem(io, error),
        }),
      );
    for (const [i, { port }] of listening.entries()) {
      const line = { local: `127.0.0.1:${port}`, localPort: port, vm: vm.name, port: specs[i]?.vmPort };
      reply(io, json, line, () => `${line.local} → ${vm.name}:${line.port}`);
    }
    pool.warm();
    await aborted(io.signal); // Ctrl-C is how a tunnel ends: no failure
  } finally {
    pool.close();
    await Promise.all(listening.map((local) => local.close()));
  }
}

function problem(io: ConnectIo, error: unknown): void {
  if (io.signal.aborted) return;
  const { message, hint } = publicError(error);
  note(io, `connect: ${message}${hint === undefined ? '' : `\n  hint: ${hint}`}`);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
