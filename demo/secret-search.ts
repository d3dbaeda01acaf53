/** Looks for secrets where they must not be: raw, as hex, as base64 and as base64url. */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../shared/files.ts';

export interface Secret {
  name: string;
  bytes: Uint8Array;
}

interface Needle {
  secret: string;
  bytes: Buffer;
}

export interface Finding {
  secret: string;
  where: string;
}

/**
 * Every form in which a secret could lie about. Base64 of a secret inside other data starts at one of three offsets,
 * so three cores of it are looked for, without the characters that its neighbours would change.
 */
export function needlesFor(secret: Secret): Needle[] {
  const raw = Buffer.from(secret.bytes);
  const hex = raw.toString('hex');
  const forms = [raw, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
  for (const shift of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(shift), raw])
      .toString('base64')
      .replace(/=+$/, '');
    const core = shifted.slice(shift === 0 ? 0 : 4, shifted.length - 1);
    forms.push(Buffer.from(core), Buffer.from(core.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return forms.map((bytes) => ({ secret: secret.name, bytes }));
}

export class SecretSearch {
  readonly #needles: Needle[];
  readonly #overlap: number;
  readonly findings: Finding[] = [];
  /** What was looked at, in bytes. */
  bytes = 0;

  constructor(secrets: readonly Secret[]) {
    this.#needles = secrets.flatMap(needlesFor);
    this.#overlap = Math.max(...this.#needles.map((needle) => needle.bytes.length)) - 1;
  }

  text(where: string, data: Buffer): void {
    this.bytes += data.length;
    for (const needle of this.#needles) if (data.includes(needle.bytes)) this.#found(needle.secret, where);
  }

  async file(path: string): Promise<void> {
    const chunk = Buffer.allocUnsafe(8 * 1024 * 1024 + this.#overlap);
    const file = await open(path, 'r');
    try {
      let kept = 0;
      for (;;) {
        const { bytesRead } = await file.read(chunk, kept, chunk.length - kept);
        if (bytesRead === 0) return;
        this.bytes += bytesRead;
        const view = chunk.subarray(0, kept + bytesRead);
        for (const needle of this.#needles) if (view.includes(needle.bytes)) this.#found(needle.secret, path);
        kept = Math.min(this.#overlap, view.length);
        view.copyWithin(0, view.length - kept);
      }
    } finally {
      await file.close();
    }
  }

  /** Every regular file under a folder. @returns how many. */
  async folder(path: string): Promise<number> {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    for (const entry of files) await this.file(join(entry.parentPath, entry.name));
    return files.length;
  }

  /** Command line and environment of every process of this machine. @returns how many. */
  async processes(): Promise<number> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    for (const pid of pids)
      for (const what of ['cmdline', 'environ'])
        try {
          this.text(`process ${pid} ${what}`, await readFile(`/proc/${pid}/${what}`));
        } catch (error) {
          // It ended meanwhile; or the kernel shows it to nobody, root included (ptrace_may_access, proc(5)).
          if (!['ENOENT', 'ESRCH', 'EACCES'].some((code) => isErrno(error, code))) throw error;
        }
    return pids.length;
  }

  of(secret: string): Finding[] {
    return this.findings.filter((finding) => finding.secret === secret);
  }

  #found(secret: string, where: string): void {
    if (!this.findings.some((finding) => finding.secret === secret && finding.where === where))
      this.findings.push({ secret, where });
  }
}
