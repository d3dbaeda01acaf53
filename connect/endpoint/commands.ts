/** Endpoints: the ports of the backend through which your tunnels go. */
import type { Command } from 'commander';
import { humanBytes, table } from '../../shared/cli/program.ts';
import { endpointIdSchema } from '../../shared/names.ts';
import type { EndpointInfo } from '../../shared/rest-api/endpoints.ts';
import { routes } from '../../shared/rest-api/index.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { ask, withSession } from '../session.ts';

export function addEndpointCommands(program: Command, io: ConnectIo): void {
  const endpoints = program.command('endpoint').description("The backend's ports through which tunnels go");

  endpoints
    .command('list')
    .description('Your open endpoints, with their streams and bytes (administrators: all)')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect endpoint list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, routes.endpointList, { params: {}, body: {} });
        reply(io, json, answer, ({ endpoints }) => endpointTable(endpoints));
      }),
    );

  endpoints
    .command('close')
    .description('Close an endpoint and cut its streams. A tunnel that is still in use opens a new one')
    .argument('<endpoint>', 'its id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect endpoint close ep-0123456789ab')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) => {
      const endpointId = checked(endpointIdSchema, wanted, 'the endpoint');
      return withSession(io, command, async (session) => {
        await ask(session, routes.endpointClose, { params: { endpointId }, body: {} });
        reply(io, json, { endpointId }, () => `${endpointId} closed`);
      });
    });
}

function endpointTable(endpoints: readonly EndpointInfo[]): string {
  const rows = endpoints.map((it) => [
    it.endpointId,
    it.vmId,
    it.userId,
    it.sourceAddress,
    String(it.port),
    `${it.streams} of ${it.streamsTotal}`,
    humanBytes(it.bytesIn),
    humanBytes(it.bytesOut),
    new Date(it.expiresAt).toISOString(),
  ]);
  return table([['ID', 'VM', 'PERSON', 'FROM', 'PORT', 'STREAMS', 'TO VM', 'FROM VM', 'ENDS'], ...rows]);
}
