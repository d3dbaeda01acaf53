/** The backend's folder: its certificate and key, made once. What is pinned everywhere is that key. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../shared/errors.ts';
import { makeFolder, readIfThere, writeOnce } from '../shared/files.ts';
import { makeCertificate, spkiPin } from '../shared/net/certificate.ts';

const CERTIFICATE_DAYS = 3650;

export interface ServerKeys {
  /** PKCS #8, PEM. */
  key: string;
  /** PEM. */
  certificate: string;
  /** SHA-256 of the SPKI, lower-case hex. */
  pin: string;
}

/**
 * Makes the folder (0700) and what is missing in it. Key and certificate are one file, so that they always fit.
 * @throws VmcError 'bad-config' when others could read the key.
 */
export async function initStateFolder(stateDir: string, now: Date): Promise<{ keys: ServerKeys; made: boolean }> {
  await makeFolder(stateDir, 0o700);
  const { certificatePem, privateKeyPem } = makeCertificate('vmc backend', 'serverAuth', CERTIFICATE_DAYS, now);
  const path = serverKeyPath(stateDir);
  const made =
    (await readIfThere(path)) === undefined && (await writeOnce(path, privateKeyPem + certificatePem, 0o600));
  return { keys: await readServerKeys(stateDir), made };
}

/** @throws VmcError 'not-found' before `backend init`. */
export async function readServerKeys(stateDir: string): Promise<ServerKeys> {
  const path = serverKeyPath(stateDir);
  const text = await readIfThere(path);
  if (text === undefined)
    throw new VmcError('not-found', `There is no key of the backend in ${stateDir}.`, 'Run: backend init');
  if (((await stat(path)).mode & 0o077) !== 0)
    throw new VmcError('bad-config', `Others may read ${path}.`, `Run: chmod 600 ${path}`);
  const key = /-----BEGIN PRIVATE KEY-----[\s\S]*?-----END PRIVATE KEY-----\n/.exec(text)?.[0];
  const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n/.exec(text)?.[0];
  if (key === undefined || certificate === undefined)
    throw new VmcError('bad-data', `${path} is damaged.`, 'Restore it from a backup: everyone has pinned its key.');
  return { key, certificate, pin: spkiPin(certificate) };
}

const serverKeyPath = (stateDir: string) => join(stateDir, 'server.pem');
