/**
 * The beginning of an RDP connection, as every RDP client makes it: X.224 with a negotiation of TLS (MS-RDPBCGR 2.2.1.1,
 * 2.2.1.2), then TLS. Arguments: the port on 127.0.0.1. Prints {selected, tls, certificateSha256}.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

const PROTOCOL_SSL = 1;
// TPKT (RFC 1006): version 3, 19 bytes. X.224: 14 more bytes, CR (0xe0), no references, class 0. RDP_NEG_REQ: type 1, 8 bytes.
const REQUEST = [0x03, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 0x01, 0, 8, 0, PROTOCOL_SSL, 0, 0, 0];
const CONFIRM_BYTES = 19;

const socket = connect({ port: Number(process.argv[2]), host: '127.0.0.1', noDelay: true, timeout: 30_000 });
socket.once('timeout', () => socket.destroy(new Error('no answer')));
socket.write(Buffer.from(REQUEST));
let answer = Buffer.alloc(0);
while (answer.length < CONFIRM_BYTES) {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  answer = Buffer.concat([answer, chunk]);
}
socket.pause();
// X.224 CC is 0xd0; RDP_NEG_RSP is type 2, and a refusal type 3.
if (answer[0] !== 3 || answer[5] !== 0xd0 || answer[11] !== 2) throw new Error(`answered ${answer.toString('hex')}`);
const tls = connectTls({ socket, rejectUnauthorized: false }); // its certificate is compared by who runs this
await once(tls, 'secureConnect');
process.stdout.write(
  JSON.stringify({
    selected: answer.readUInt32LE(15),
    tls: tls.getProtocol(),
    certificateSha256: tls.getPeerX509Certificate()?.fingerprint256,
  }),
);
tls.destroy();
