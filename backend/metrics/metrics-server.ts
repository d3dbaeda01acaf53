/** GET /metrics over plain HTTP, on an address of its own: loopback unless somebody decides otherwise. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { type Family, METRICS_CONTENT_TYPE, renderMetrics } from './exposition.ts';

const TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 16;

export interface MetricsAddress {
  address: string;
  port: number;
}

export interface MetricsServer {
  port: number;
  close(): Promise<void>;
}

/** @throws VmcError 'port-in-use'. */
export async function serveMetrics(at: MetricsAddress, collect: () => Family[]): Promise<MetricsServer> {
  const server = createServer(
    { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS, maxHeaderSize: 4096 },
    (request, answer) => {
      request.resume();
      if (request.url !== '/metrics') answer.writeHead(404).end();
      else if (request.method !== 'GET') answer.writeHead(405, { allow: 'GET' }).end();
      else answer.writeHead(200, { 'content-type': METRICS_CONTENT_TYPE }).end(renderMetrics(collect()));
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.address, resolve);
  }).catch((error: unknown) => {
    if (!isErrno(error, 'EADDRINUSE')) throw error;
    throw new VmcError(
      'port-in-use',
      `Another program listens at ${at.address} port ${at.port}, where the metrics should be.`,
      'Change metrics.port, or leave it out.',
    );
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
