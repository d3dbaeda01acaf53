/** Opening and accepting channels where there is Node. What does the same in a browser is browser.ts. */
import { native } from '../identity/native.ts';
import type { Channel } from './channel.ts';
import { type AcceptOptions, initiate, type OpenOptions, respond } from './drive-handshake.ts';
import type { Transport } from './transport.ts';

export type { AcceptOptions, OpenOptions } from './drive-handshake.ts';

/** @throws HandshakeRefused */
export const openChannel = (transport: Transport, options: OpenOptions): Promise<Channel> =>
  initiate(transport, { cryptography: native, ...options });

/** @throws HandshakeRefused, with the reason for the audit log; the peer only sees the connection close. */
export const acceptChannel = (transport: Transport, options: AcceptOptions): Promise<Channel> =>
  respond(transport, { cryptography: native, ...options });
