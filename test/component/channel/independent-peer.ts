/**
 * A second initiator, written from the text of docs/protocol.md alone: it imports node:crypto and nothing of this
 * project. That it gets on with the real responder shows that the text suffices. Not a test itself.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
  decapsulate,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

/** Whole messages, in order. */
export interface Line {
  send(message: Uint8Array): void;
  receive(): Promise<Uint8Array>;
}

// Conventions
const domain = (text: string): Buffer => Buffer.from(`vmc/1 ${text}\0`);
const u32 = (n: number): Buffer => Buffer.from([n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
const framed = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts.flatMap((part) => [u32(part.length), part]));
const statement = (context: string, ...parts: Uint8Array[]): Buffer =>
  Buffer.concat([domain(context), framed(...parts)]);
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const hmac = (key: Uint8Array, bytes: Uint8Array): Buffer => createHmac('sha256', key).update(bytes).digest();
const expand = (key: Uint8Array, info: Uint8Array, n = 32): Buffer =>
  hmac(key, Buffer.concat([info, Buffer.from([1])])).subarray(0, n);
const raw = (key: KeyObject): Buffer => key.export({ format: 'raw-public' });

function need(condition: boolean, refusal: string): void {
  if (!condition) throw new Error(refusal);
}

export interface IndependentOptions {
  /** 32 bytes. */
  ed25519Seed: Uint8Array;
  /** The pinned Ed25519 key. */
  responder: Uint8Array;
  /** 1 control, 2 terminal, 3 files. */
  purpose: number;
  /** Records and bytes under one key. */
  limits: { records: number; bytes: number };
}

export async function openIndependently(line: Line, { ed25519Seed, responder, purpose, limits }: IndependentOptions) {
  // Messages of the handshake: the initiator's hello
  const identity = createPrivateKey({
    key: Buffer.from(ed25519Seed),
    format: 'raw-private',
    asymmetricKeyType: 'ed25519',
  });
  const own = raw(createPublicKey(identity));
  const x25519 = generateKeyPairSync('x25519');
  const mlKem = generateKeyPairSync('ml-kem-768');
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(Date.now()));
  const unsigned = Buffer.concat([
    Buffer.from('VMC1'),
    Buffer.from([1, purpose, 0, 1, 0, 1]),
    own,
    responder,
    raw(x25519.publicKey),
    raw(mlKem.publicKey),
    time,
    randomBytes(32),
  ]);
  const signature = cryptoSign(null, statement('channel initiator hello', unsigned), identity);
  const hello = Buffer.concat([unsigned, signature]);
  need(hello.length === 1394, 'the hello has another length than the text says');
  line.send(hello);

  // Order of checks, the initiator's half
  const answer = Buffer.from(await line.receive());
  need(answer.length === 1298 && answer.subarray(0, 4).equals(Buffer.from('VMC1')) && answer[4] === 2, 'malformed');
  need(answer.subarray(6, 10).equals(Buffer.from([0, 1, 0, 1])), 'unsupported');
  need(answer.subarray(42, 74).equals(responder), 'wrong-peer');
  need(answer.subarray(10, 42).equals(own), 'wrong-recipient');
  need(answer[5] === purpose, 'malformed');
  need(Math.abs(Number(answer.readBigUInt64BE(1194)) - Date.now()) <= 300_000, 'stale');
  const signer = createPublicKey({ key: Buffer.from(responder), format: 'raw-public', asymmetricKeyType: 'ed25519' });
  const answered = statement('channel responder hello', sha256(hello), answer.subarray(0, 1234));
  need(cryptoVerify(null, answered, signer, answer.subarray(1234)), 'bad-signature');
  const theirs = createPublicKey({ key: answer.subarray(74, 106), format: 'raw-public', asymmetricKeyType: 'x25519' });
  const x25519Secret = diffieHellman({ privateKey: x25519.privateKey, publicKey: theirs });
  const mlKemSecret = decapsulate(mlKem.privateKey, answer.subarray(106, 1194));

  // Keys
  const th = sha256(Buffer.concat([domain('channel transcript'), framed(hello, answer)]));
  const prk = hmac(th, Buffer.concat([mlKemSecret, x25519Secret]));
  const secretOf = (sender: string): Buffer => expand(prk, Buffer.concat([domain(`channel ${sender} secret`), th]));
  const confirmationOf = (sender: string): Buffer =>
    hmac(expand(prk, Buffer.concat([domain(`channel ${sender} confirm`), th])), th);

  // Records
  class Direction {
    #secret: Buffer;
    records = 0;
    bytes = 0;
    constructor(secret: Buffer) {
      this.#secret = secret;
    }
    next(length: number): { key: Buffer; nonce: Buffer } {
      const nonce = expand(this.#secret, domain('channel iv'), 12);
      nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ BigInt(this.records), 4);
      this.records += 1;
      this.bytes += length;
      return { key: expand(this.#secret, domain('channel key')), nonce };
    }
    update(): void {
      this.#secret = expand(this.#secret, domain('channel update'));
      this.records = 0;
      this.bytes = 0;
    }
  }
  const sending = new Direction(secretOf('initiator'));
  const receiving = new Direction(secretOf('responder'));

  function sendRecord(type: number, flags: number, body: Uint8Array): void {
    const header = Buffer.from([type, flags]);
    const { key, nonce } = sending.next(body.length);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(header);
    line.send(Buffer.concat([header, cipher.update(body), cipher.final(), cipher.getAuthTag()]));
  }
  async function receiveRecord(): Promise<{ type: number; flags: number; body: Buffer }> {
    const record = Buffer.from(await line.receive());
    need(record.length >= 18 && record.length <= 65_554, 'length');
    const { key, nonce } = receiving.next(record.length - 18);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
    decipher.setAAD(record.subarray(0, 2)).setAuthTag(record.subarray(-16));
    const body = Buffer.concat([decipher.update(record.subarray(2, -16)), decipher.final()]);
    return { type: record[0] ?? 0, flags: record[1] ?? 0, body };
  }

  const confirmed = await receiveRecord();
  need(confirmed.type === 16 && confirmed.flags === 0 && confirmed.body.length === 32, 'not-confirmed');
  need(timingSafeEqual(confirmed.body, confirmationOf('responder')), 'not-confirmed');
  sendRecord(16, 0, confirmationOf('initiator'));

  return {
    send(message: Uint8Array): void {
      for (let at = 0; at === 0 || at < message.length; at += 65_536) {
        const body = message.subarray(at, at + 65_536);
        if (sending.records >= limits.records || sending.bytes + body.length > limits.bytes) {
          sendRecord(18, 0, Buffer.alloc(0));
          sending.update();
        }
        sendRecord(17, at + 65_536 < message.length ? 1 : 0, body);
      }
    },
    /** The next message; undefined for a close. */
    async receive(): Promise<Buffer | undefined> {
      const parts: Buffer[] = [];
      for (;;) {
        const { type, flags, body } = await receiveRecord();
        if (type === 18) receiving.update();
        else if (type === 19) return undefined;
        else {
          need(type === 17 && (flags === 0 || (flags === 1 && body.length === 65_536)), 'type');
          parts.push(body);
          if (flags === 0) return Buffer.concat(parts);
        }
      }
    },
    close(): void {
      if (sending.records >= limits.records) {
        sendRecord(18, 0, Buffer.alloc(0));
        sending.update();
      }
      sendRecord(19, 0, Buffer.alloc(0));
    },
  };
}
