/** TLS as every part of vmc uses it: 1.3 only, approved suites only, the post-quantum hybrid first. */
import type { SecureContextOptions } from 'node:tls';

export const TLS_OPTIONS = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
  /** The slash: a server takes the hybrid from everyone who knows it, also from who would rather begin with another group. */
  ecdhCurve: 'X25519MLKEM768/P-256:P-384',
} as const satisfies SecureContextOptions;
