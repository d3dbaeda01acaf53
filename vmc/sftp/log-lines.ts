/** Cuts what sftp-server says on stderr into its lines, which end with CR LF. A line feed alone is part of a name. Pure. */

/** sftp-server's own bound is 1024. */
export const MAX_LOG_LINE = 4096;

export class LogLines {
  #rest = '';

  /** @returns the lines that are whole, a character for each byte; one that is too long comes in pieces. */
  push(chunk: Uint8Array): string[] {
    const text = this.#rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    const lines = text.split('\r\n');
    this.#rest = lines.pop() ?? '';
    while (this.#rest.length > MAX_LOG_LINE) {
      lines.push(this.#rest.slice(0, MAX_LOG_LINE));
      this.#rest = this.#rest.slice(MAX_LOG_LINE);
    }
    return lines.flatMap((line) => pieces(line));
  }

  /** What came after the last line. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

function pieces(line: string): string[] {
  if (line.length <= MAX_LOG_LINE) return [line];
  const all: string[] = [];
  for (let at = 0; at < line.length; at += MAX_LOG_LINE) all.push(line.slice(at, at + MAX_LOG_LINE));
  return all;
}
