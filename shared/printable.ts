/** Words of others, made fit for a message, a log line or a terminal. Needs nothing of Node: browser code uses it too. */

/** Control characters escaped, so that a command's words cannot write on a terminal or break a log line. Line ends stay. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** One line of bounded length: for what a stranger chose and a message repeats, such as an unknown key. */
export function shortened(text: string, maxChars = 60): string {
  const line = printable(text.slice(0, maxChars)).replaceAll('\n', '\\n');
  return text.length > maxChars ? `${line}…` : line;
}
