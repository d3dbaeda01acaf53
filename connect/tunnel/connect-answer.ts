/** The answer to CONNECT (RFC 9110 9.3.6), read as it arrives and never beyond its bounds. */

export const MAX_HEAD_BYTES = 8192;
export const MAX_REASON_BYTES = 1024;

export type ConnectAnswer =
  | { kind: 'more' }
  | { kind: 'malformed' }
  /** Bytes from `headBytes` on belong to the stream. */
  | { kind: 'open'; headBytes: number }
  | { kind: 'refused'; status: number; reason: string };

/** @param received everything so far. @param ended no more will come. */
export function parseConnectAnswer(received: Uint8Array, ended = false): ConnectAnswer {
  const text = Buffer.from(received.buffer, received.byteOffset, received.byteLength)
    .subarray(0, MAX_HEAD_BYTES)
    .toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return ended || received.length >= MAX_HEAD_BYTES ? { kind: 'malformed' } : { kind: 'more' };
  const [first = '', ...fields] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1]);
  if (!(status >= 200 && status <= 599)) return { kind: 'malformed' };
  if (status < 300) return { kind: 'open', headBytes: end + 4 };
  const length = fields.map((field) => /^content-length:[ \t]*(\d{1,9})[ \t]*$/i.exec(field)?.[1]).find(Boolean);
  const wanted = Math.min(length === undefined ? MAX_REASON_BYTES : Number(length), MAX_REASON_BYTES);
  const body = received.subarray(end + 4, end + 4 + wanted);
  if (body.length < wanted && !ended) return { kind: 'more' };
  return { kind: 'refused', status, reason: new TextDecoder().decode(body).trim() };
}
