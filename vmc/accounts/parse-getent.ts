/** Lines of getent(1): passwd(5) and group(5). Pure. */

export interface User {
  name: string;
  uid: number;
  gid: number;
}

export interface Group {
  name: string;
  gid: number;
  members: string[];
}

export const parsePasswd = (text: string): User[] =>
  fieldsOf(text, 7).flatMap(([name = '', , uid = '', gid = '']) =>
    isId(uid) && isId(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [],
  );

export const parseGroup = (text: string): Group[] =>
  fieldsOf(text, 4).flatMap(([name = '', , gid = '', members = '']) =>
    isId(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }] : [],
  );

const isId = (text: string) => /^\d{1,10}$/.test(text);

const fieldsOf = (text: string, count: number): string[][] =>
  text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length === count);
