/** The same bytes through a plain websocket over TLS between two processes: no relay, no channel. */
import { join } from 'node:path';
import * as z from 'zod';
import type { Measurement } from '../suite.ts';
import { startWorker } from '../worker.ts';
import { makeTransfer } from './transfer.ts';

const addressSchema = z.strictObject({ url: z.string(), pin: z.string() });

export const wss: Measurement = {
  name: 'wss',
  async start(site) {
    const script = join(import.meta.dirname, 'end-worker.ts');
    const server = await startWorker(site, { name: 'wss-server', script });
    const client = await startWorker(site, { name: 'wss-client', script });
    await client.ask('dial', await server.ask('listen', {}, addressSchema), z.null());
    const up = await makeTransfer(site, 'wss', client, server);
    const down = await makeTransfer(site, 'wss, down', server, client);
    return async () => {
      const { gbps, senderCpuPerGB, receiverCpuPerGB } = await up();
      return {
        wssGbps: gbps,
        wssDownGbps: (await down()).gbps,
        wssClientCpuPerGB: senderCpuPerGB,
        wssServerCpuPerGB: receiverCpuPerGB,
      };
    };
  },
};
