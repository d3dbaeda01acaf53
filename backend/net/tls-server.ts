/** TLS and HTTP as every listener of the backend speaks them, with its bounds. */
import { TLS_OPTIONS } from '../../shared/net/tls.ts';
import type { ServerKeys } from '../state-folder.ts';

export const REQUEST_TIMEOUT_MS = 15_000;
const TLS_TIMEOUT_MS = 10_000;
/** Node looks for requests that take too long this often. */
const CHECK_MS = 2_000;

export const tlsServerOptions = (keys: ServerKeys) =>
  ({
    ...TLS_OPTIONS,
    key: keys.key,
    cert: keys.certificate,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: TLS_TIMEOUT_MS,
    headersTimeout: TLS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_MS,
    maxHeaderSize: 8 * 1024,
  }) as const;
