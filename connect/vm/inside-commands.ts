/** What connect asks of the VM itself, over the encrypted channel: info and ping; and trusting a rebuilt one. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { controlMethods } from '../../shared/api/index.ts';
import type { GrantView } from '../../shared/api/tunnel.ts';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { presented, withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { pin } from '../known-vms.ts';
import { descriptor, wholeNumber } from '../options.ts';
import { withSession } from '../session.ts';
import { portsText } from '../tunnel/forward-spec.ts';
import { findVm } from './find.ts';
import { notePeopleVersion } from './people-version.ts';

interface PingOptions {
  payloadFd?: number;
  count: number;
  json?: boolean;
}

export function addInsideCommands(vms: Command, io: ConnectIo): void {
  vms
    .command('info')
    .description('What the VM says of itself, over the encrypted channel')
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm info lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const info = await withControl(session, vm, (rpc) =>
          rpc.call(controlMethods.systemInfo, {}, { signal: io.signal }),
        );
        await notePeopleVersion(session, vm, info.peopleVersion);
        if (info.peopleProblem !== undefined) note(io, `ONLY THE OWNER MAY COME IN: ${info.peopleProblem}`);
        reply(io, json, info, () =>
          table([
            ['name', info.name],
            ['id', info.vmId],
            ['fingerprint', info.fingerprint],
            ['owner', info.ownerFingerprint],
            ['people', `version ${info.peopleVersion}`],
            ['version', info.version],
            ['controller up since', new Date(info.startedAt).toISOString()],
            ['parked after', info.secondsToPark === undefined ? '-' : `${info.secondsToPark.toFixed(1)} s`],
            ['memory of controller', humanBytes(info.rssBytes)],
          ]),
        );
      }),
    );

  vms
    .command('tunnels')
    .description(
      'Your tunnels into a VM: until when, how many streams, how much went through (with the right stats: all)',
    )
    .argument('<vm>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm tunnels lab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = await findVm(session, wanted);
        const grants = await withControl(session, vm, (rpc) => allGrants(rpc, io.signal));
        reply(io, json, { vmId: vm.vmId, grants }, () => grantTable(grants));
      }),
    );

  vms
    .command('ping')
    .description('Time round trips through the whole encrypted path')
    .argument('<vm>', 'name or id')
    .option('-c, --count <n>', 'how many', wholeNumber(1, 1000), 4)
    .option('--payload-fd <n>', 'send what this descriptor holds (up to 1024 characters)', descriptor)
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm ping lab -c 10')
    .action((wanted: string, options: PingOptions, command: Command) => ping(io, wanted, options, command));

  vms
    .command('trust')
    .description('Accept the new key of a VM that you rebuilt yourself, in place of the pinned one')
    .argument('<vm>', 'name or id')
    .requiredOption('--accept <fingerprint>', "the fingerprint on the VM's console, SHA256:…")
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect vm trust lab --accept SHA256:Jl3…')
    .action((wanted: string, { accept, json }: { accept: string; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const vm = presented(session, await findVm(session, wanted));
        const offered = fingerprint(vm.ed25519);
        if (offered !== accept)
          throw new VmcError(
            'identity-changed',
            `The backend presents ${offered} for ${vm.name}, not what you accept. Nothing was changed.`,
            "If the VM's console shows the one you typed, somebody stands in between: tell an administrator.",
          );
        await session.folder.changeKnownVms((known) => pin(known, vm));
        reply(io, json, { vmId: vm.vmId, name: vm.name, fingerprint: offered }, () => `${vm.name}  ${offered}  pinned`);
      }),
    );
}

async function ping(io: ConnectIo, wanted: string, options: PingOptions, command: Command): Promise<void> {
  const given = options.payloadFd === undefined ? randomBytes(16).toString('hex') : payload(io, options.payloadFd);
  await withSession(io, command, async (session) => {
    const vm = await findVm(session, wanted);
    const times = await withControl(session, vm, async (rpc) => {
      const milliseconds: number[] = [];
      for (let i = 0; i < options.count; i++) {
        const sent = performance.now();
        const answer = await rpc.call(controlMethods.systemPing, { payload: given }, { signal: io.signal });
        if (answer.payload !== given) throw new VmcError('bad-data', `${vm.name} sent back something else.`);
        milliseconds.push(Math.round((performance.now() - sent) * 1000) / 1000);
        if (options.json !== true)
          io.stdout.write(`${given.length} characters from ${vm.name}: ${milliseconds.at(-1)} ms\n`);
      }
      return milliseconds;
    });
    const sorted = times.toSorted((a, b) => a - b);
    const summary = {
      vm: vm.name,
      count: times.length,
      minMs: sorted[0],
      medianMs: sorted[Math.floor(sorted.length / 2)],
      maxMs: sorted.at(-1),
      times,
    };
    reply(
      io,
      options.json,
      summary,
      () => `min ${summary.minMs} · median ${summary.medianMs} · max ${summary.maxMs} ms`,
    );
  });
}

function payload(io: ConnectIo, fd: number): string {
  const text = new TextDecoder().decode(io.readFd(fd, 'The payload'));
  if (text.length > 1024) throw new VmcError('bad-request', 'The payload is longer than 1024 characters.');
  return text;
}

/** Page after page. */
async function allGrants(rpc: Control, signal: AbortSignal): Promise<GrantView[]> {
  const all: GrantView[] = [];
  for (;;) {
    const after = all.at(-1)?.certificateSha256;
    const params = after === undefined ? {} : { after };
    const { grants, more } = await rpc.call(controlMethods.tunnelList, params, { signal });
    all.push(...grants);
    if (!more || grants.length === 0) return all;
  }
}

function grantTable(grants: readonly GrantView[]): string {
  const rows = grants.map((it) => [
    it.person,
    it.certificateSha256.slice(0, 12),
    portsText(it.ports),
    `${it.streams} of ${it.streamsTotal}`,
    humanBytes(it.bytesIn),
    humanBytes(it.bytesOut),
    new Date(it.expiresAt).toISOString(),
  ]);
  return table([['PERSON', 'CERTIFICATE', 'PORTS', 'STREAMS', 'TO VM', 'FROM VM', 'ENDS'], ...rows]);
}
