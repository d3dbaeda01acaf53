/** What SSH may be made of here, as server and as client. */
import type { Algorithms } from 'ssh2';

/**
 * Approved by NIST: ECDH over P-256 and P-384 (SP 800-56A), AES-GCM (SP 800-38D), and AES-CTR with HMAC-SHA-2 for peers that
 * have no GCM. `kex-strict` comes by itself. No compression. The host key's algorithm is for whoever has or knows the key.
 */
export const SSH_ALGORITHMS = {
  kex: ['ecdh-sha2-nistp256', 'ecdh-sha2-nistp384'],
  cipher: ['aes256-gcm@openssh.com', 'aes128-gcm@openssh.com', 'aes256-ctr', 'aes128-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} satisfies Algorithms;
