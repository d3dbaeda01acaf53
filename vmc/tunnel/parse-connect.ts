/**
 * The one request of a tunnel connection (RFC 9110, 9.3.6): `CONNECT localhost:3389 HTTP/1.1`, any header fields, an
 * empty line. Strict: anything else has an answer that says so.
 */

export const MAX_HEAD_BYTES = 4096;

export type ConnectRequest =
  | { kind: 'connect'; port: number /** Bytes of the head; what follows is the stream's. */; headBytes: number }
  | { kind: 'more' }
  | { kind: 'wrong'; status: 400 | 403 | 405 | 431; reason: string };

const FIELD_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;
const wrong = (status: 400 | 403 | 405 | 431, reason: string) => ({ kind: 'wrong', status, reason }) as const;

/** @param received everything so far. */
export function parseConnect(received: Uint8Array): ConnectRequest {
  const text = Buffer.from(received.buffer, received.byteOffset, Math.min(received.length, MAX_HEAD_BYTES)).toString(
    'latin1',
  );
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) {
    if (received.length >= MAX_HEAD_BYTES) return wrong(431, 'The request is too long.');
    return looksLikeHttp(text) ? { kind: 'more' } : wrong(400, 'This is not HTTP.');
  }
  const [requestLine = '', ...fields] = text.slice(0, end).split('\r\n');
  const [, method, target = ''] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(requestLine) ?? [];
  if (method === undefined) return wrong(400, 'The first line is not of HTTP/1.1.');
  if (method !== 'CONNECT') return wrong(405, 'Only CONNECT works here.');
  if (fields.some((line) => !FIELD_LINE.test(line))) return wrong(400, 'A header field is malformed.');
  const [, host, portText = ''] = /^([^:\s]+):(\d{1,5})$/.exec(target) ?? [];
  const port = Number(portText);
  if (host === undefined || port < 1 || port > 65535) return wrong(400, 'Ask for localhost:PORT.');
  if (host !== 'localhost' && host !== '127.0.0.1') return wrong(403, 'The tunnel leads to localhost only.');
  return { kind: 'connect', port, headBytes: end + 4 };
}

/** Cheap sign of life: an upper-case word, as every HTTP method is. */
const looksLikeHttp = (text: string) => /^[A-Z]*($| )/.test(text);

export type RefusalStatus = 400 | 403 | 405 | 429 | 431 | 502;

export const CONNECTED = 'HTTP/1.1 200 Connected\r\n\r\n';

/**
 * The reason stands in the status line too (RFC 9112, 4: it is free text), as curl shows nothing else of a failed CONNECT.
 * @param reason one line of plain ASCII.
 */
export function refusal(status: RefusalStatus, reason: string): string {
  const body = `${reason}\n`;
  return [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === 405 ? ['Allow: CONNECT'] : []),
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
