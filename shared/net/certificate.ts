/**
 * Self-signed X.509 certificates (RFC 5280) on P-256 keys. Nobody looks at a name in them: each is pinned by a hash.
 * Keys and signatures are node:crypto's; node-forge only writes the DER. Nothing from the network is parsed here.
 */
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import type forge from 'node-forge';
import asn1 from 'node-forge/lib/asn1.js'; // its DER writer alone: all of node-forge costs vmc 10 MB of memory

export { certificateSha256, spkiPin } from './pins.ts';

export interface Certificate {
  certificatePem: string;
  /** PKCS #8. */
  privateKeyPem: string;
}

type Asn1 = forge.asn1.Asn1;
const { Class, Type } = asn1;

const OID = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

const sequence = (...value: Asn1[]) => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, value);
const set = (...value: Asn1[]) => asn1.create(Class.UNIVERSAL, Type.SET, true, value);
const primitive = (type: forge.asn1.Type, bytes: string) => asn1.create(Class.UNIVERSAL, type, false, bytes);
const oid = (name: keyof typeof OID) => primitive(Type.OID, asn1.oidToDer(OID[name]).getBytes());
const context = (tag: number, value: Asn1) => asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [value]);
const toBinary = (bytes: Uint8Array) => Buffer.from(bytes).toString('binary');
const toDer = (node: Asn1) => Buffer.from(asn1.toDer(node).getBytes(), 'binary');

function extension(name: keyof typeof OID, value: Asn1): Asn1 {
  return sequence(
    oid(name),
    primitive(Type.BOOLEAN, '\xff'),
    primitive(Type.OCTETSTRING, asn1.toDer(value).getBytes()),
  );
}

/** RFC 5280 4.1.2.5: UTCTime to 2049, GeneralizedTime after it. */
function time(date: Date): Asn1 {
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(date) as string)
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date) as string);
}

/** RFC 5280 4.2.1.6: one dNSName. Not critical, as the subject has a name too. */
function alternativeName(name: string): Asn1 {
  const names = sequence(asn1.create(Class.CONTEXT_SPECIFIC, 2, false, name));
  return sequence(oid('subjectAltName'), primitive(Type.OCTETSTRING, asn1.toDer(names).getBytes()));
}

/**
 * @param purpose which side of TLS may present it. @param days validity from five minutes before `now` (clock skew).
 * @param dnsName for tools that insist on a name, although the pin says it all.
 */
export function makeCertificate(
  commonName: string,
  purpose: 'serverAuth' | 'clientAuth',
  days: number,
  now: Date,
  dnsName?: string,
): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const name = sequence(set(sequence(oid('commonName'), primitive(Type.UTF8, toBinary(Buffer.from(commonName))))));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40; // positive, and never a leading zero
  const tbs = sequence(
    context(0, primitive(Type.INTEGER, '\x02')), // version 3
    primitive(Type.INTEGER, toBinary(serial)),
    sequence(oid('ecdsaWithSha256')),
    name,
    sequence(time(new Date(now.getTime() - 300_000)), time(new Date(now.getTime() + days * 86_400_000))),
    name,
    asn1.fromDer(toBinary(spki)),
    context(
      3,
      sequence(
        extension('basicConstraints', sequence()),
        extension('keyUsage', primitive(Type.BITSTRING, '\x07\x80')), // digitalSignature
        extension('extendedKeyUsage', sequence(oid(purpose))),
        ...(dnsName === undefined ? [] : [alternativeName(dnsName)]),
      ),
    ),
  );
  const signature = sign('sha256', toDer(tbs), privateKey);
  const der = toDer(
    sequence(tbs, sequence(oid('ecdsaWithSha256')), primitive(Type.BITSTRING, `\0${toBinary(signature)}`)),
  );
  return {
    certificatePem: new X509Certificate(der).toString(),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
