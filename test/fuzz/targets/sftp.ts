/** SFTP: what sftp-server says of names that people chose, the keys that clients show, and who has which account. */
import { utf8 } from '../../../shared/bytes.ts';
import { openSshBlob } from '../../../shared/identity/ssh-form.ts';
import { parseJson } from '../../../shared/validate.ts';
import { accountFileSchema } from '../../../vmc/accounts/account-file.ts';
import { LogLines, MAX_LOG_LINE } from '../../../vmc/sftp/log-lines.ts';
import { keyOf } from '../../../vmc/sftp/proof.ts';
import { TransferLog } from '../../../vmc/sftp/transfer-log.ts';
import { bytesOf, insist, type Target, textOf, verdict } from '../target.ts';
import { alice } from './people.ts';

const SAID = [
  'session opened for local user bob from [UNKNOWN]\r\nreceived client version 3\r\n',
  'open "/home/bob/a" flags WRITE,CREATE,TRUNCATE mode 0644\r\nclose "/home/bob/a" bytes read 0 written 5\r\n',
  'open "/x" flags READ mode 0666\r\nsent status Permission denied\r\n',
  'posix-rename old "/a" new "/b"\r\nremove name "/b"\r\nsent status No such file\r\n',
  'open "/a" flags READ mode 0666\r\nforced close "/a" bytes read 7 written 0\r\n',
  'Refusing non-allowlisted read request\r\nopendir "/a\\303\\244\\\\"\r\n',
];

export const sftpTargets: Target[] = [
  {
    name: 'sftp/log',
    from: 'peer',
    form: 'text',
    weight: 20,
    maxBytes: 16_384,
    words: [
      '\r\n',
      '"',
      'close "',
      'forced ',
      'open "',
      '" flags READ mode 0666',
      '" bytes read 1 written 2',
      'sent status Failure',
      '\\303',
    ],
    open: () => ({
      seeds: SAID.map(utf8),
      run(input) {
        const lines = new LogLines();
        let events = 0;
        const log = new TransferLog({ mayRecord: () => true, record: () => events++ });
        let said = 0;
        for (const part of [input.subarray(0, input.length >> 1), input.subarray(input.length >> 1)])
          for (const line of lines.push(part)) {
            insist(line.length <= MAX_LOG_LINE, `a line of ${line.length} characters`);
            said++;
            log.line(line);
          }
        for (const line of lines.end()) {
          said++;
          log.line(line);
        }
        log.end();
        insist(events <= 2 * said, `${events} records of ${said} lines`);
        return events > 0 ? 'accepted' : 'refused:nothing';
      },
    }),
  },
  {
    name: 'sftp/key',
    from: 'stranger',
    form: 'bytes',
    weight: 3,
    maxBytes: 4096,
    open: () => ({
      seeds: [openSshBlob(alice.public.ed25519)],
      run: (input) => (keyOf('ssh-ed25519', input) === undefined ? 'refused:no' : 'accepted'),
    }),
  },
  {
    name: 'sftp/accounts',
    from: 'file',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [
        bytesOf({ format: 1, accounts: [{ person: `SHA256:${'A'.repeat(43)}`, name: 'bob', uid: 20_001 }] }),
        bytesOf({ format: 1, accounts: [] }),
      ],
      run: (input) => verdict(() => void parseJson(accountFileSchema, textOf(input), 'accounts.json')),
    }),
  },
];
