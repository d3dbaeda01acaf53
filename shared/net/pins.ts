/** The hashes that certificates are pinned by. Apart from certificate.ts so that checking a pin loads no DER writer. */
import { createHash, X509Certificate } from 'node:crypto';

/** SHA-256 of the certificate's DER, lower-case hex: how tunnel certificates are pinned. */
export function certificateSha256(certificate: string | Uint8Array): string {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex');
}

/** SHA-256 of the subject public key info, lower-case hex (RFC 7469 2.4): how the backend is pinned. It survives a renewal. */
export function spkiPin(certificate: string | Uint8Array): string {
  const { publicKey } = new X509Certificate(certificate);
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
