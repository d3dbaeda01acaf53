/** Identities and secrets as files and as JSON, and the certificates of TLS. */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { openDriveKey, sealDriveKey } from '../../../connect/drive/key-envelope.ts';
import { concatBytes, equalBytes, utf8 } from '../../../shared/bytes.ts';
import { decodeIdentitySecret, encodeIdentitySecret } from '../../../shared/identity/identity.ts';
import { publicIdentitySchema, publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { readSealedPublic } from '../../../shared/identity/sealed.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';
import { unwrap } from '../../../shared/identity/wrap.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { checkPin } from '../../../shared/net/pinned-agent.ts';
import { spkiPin } from '../../../shared/net/pins.ts';
import { parseJson } from '../../../shared/validate.ts';
import { bytesOf, insist, type Target, textOf, verdict } from '../target.ts';
import { alice, NOON, vm } from './people.ts';

interface Vectors {
  secret: string;
  public: Record<string, string>;
  wrapped: { context: string; bytes: string };
  sealed: { file: string };
}
const vectors = () =>
  JSON.parse(readFileSync(new URL('../../vectors/identity.json', import.meta.url), 'utf8')) as Vectors;
const DRIVE = 'drv0123456789abcdef';

export const identityTargets: Target[] = [
  {
    name: 'identity/public-json',
    from: 'stranger',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [alice, vm].map((who) => bytesOf(publicIdentityToJson(who.public))),
      run: (input) =>
        verdict(() => {
          const text = textOf(input);
          const json = publicIdentityToJson(parseJson(publicIdentitySchema, text, 'The identity'));
          const given = JSON.parse(text) as Record<string, unknown>;
          for (const [key, value] of Object.entries(json)) insist(given[key] === value, 'one way to write an identity');
        }),
    }),
  },
  {
    name: 'identity/secret-file',
    from: 'file',
    form: 'bytes',
    weight: 0,
    maxBytes: 1024,
    open: () => ({
      seeds: [Uint8Array.fromHex(vectors().secret), encodeIdentitySecret(alice)],
      run: (input) =>
        verdict(() => {
          insist(equalBytes(encodeIdentitySecret(decodeIdentitySecret(input)), input), 'one way to write it');
        }),
    }),
  },
  {
    name: 'identity/sealed-file',
    from: 'file',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [utf8(vectors().sealed.file)],
      run: (input) => verdict(() => readSealedPublic(textOf(input))),
    }),
  },
  {
    name: 'identity/wrapped-secret',
    from: 'stranger',
    form: 'bytes',
    weight: 0,
    maxBytes: 8192,
    open: () => {
      const { secret, wrapped } = vectors();
      const identity = decodeIdentitySecret(Uint8Array.fromHex(secret));
      const genuine = Uint8Array.fromHex(wrapped.bytes);
      return {
        seeds: [genuine],
        run: (input) =>
          verdict(() => {
            unwrap(identity, input, wrapped.context);
            insist(equalBytes(input, genuine), 'what was changed does not open');
          }),
      };
    },
  },
  {
    name: 'connect/drive-key',
    from: 'stranger',
    form: 'bytes',
    weight: 0,
    maxBytes: 8192,
    open: () => {
      const { secret, wrapped } = vectors();
      const identity = decodeIdentitySecret(Uint8Array.fromHex(secret));
      const sign = (body: Uint8Array) =>
        concatBytes(Uint8Array.of(1), signStatementNatively(identity, 'drive-key', [utf8(DRIVE), body]), body);
      return {
        // A genuine one is made anew at each run, as wrapping is never the same twice.
        seeds: [
          sealDriveKey(identity, DRIVE, new Uint8Array(32).fill(6)),
          sign(Uint8Array.fromHex(wrapped.bytes)),
          new Uint8Array(65).fill(1),
        ],
        run: (input) => verdict(() => insist(openDriveKey(identity, DRIVE, input).length === 32, 'a key of a drive')),
        repair: (input) => sign(input.subarray(65)),
      };
    },
  },
  {
    name: 'net/certificate',
    from: 'stranger',
    form: 'bytes',
    weight: 1,
    maxBytes: 8192,
    open: () => {
      // Its keys are made anew at each run: there is no way to ask for the same ones.
      const made = makeCertificate('fuzz', 'clientAuth', 1, new Date(NOON));
      const genuine = new Uint8Array(new X509Certificate(made.certificatePem).raw);
      const pin = spkiPin(genuine);
      return {
        seeds: [genuine],
        run: (input) => {
          let shown: X509Certificate;
          try {
            shown = new X509Certificate(input); // OpenSSL's, as TLS would give it
          } catch {
            return 'refused:no certificate';
          }
          insist(/^[0-9a-f]{64}$/.test(certificateSha256(new Uint8Array(shown.raw))), 'a fingerprint is hex');
          const socket = { getPeerX509Certificate: () => shown } as unknown as Parameters<typeof checkPin>[0];
          return verdict(() => checkPin(socket, pin));
        },
      };
    },
  },
];
