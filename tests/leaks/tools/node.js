// Writes every file of argv[2] by Node.js into argv[3]/node/FORM.
const fs = require('fs');
const path = require('path');
const querystring = require('querystring');
const util = require('util');
const zlib = require('zlib');

require('buffer').INSPECT_MAX_BYTES = Infinity;

const forms = {
  'JSON.stringify': (v) => JSON.stringify({ token: v }),
  'JSON in JSON': (v) => JSON.stringify({ body: JSON.stringify({ token: v }) }),
  'encodeURIComponent': encodeURIComponent,
  'encodeURI': encodeURI,
  'querystring': (v) => querystring.stringify({ user: 'me', token: v }),
  'URLSearchParams': (v) => new URLSearchParams({ token: v }).toString(),
  'URL with password': (v) => Object.assign(new URL('https://me@host.example/x'), { password: v }).href,
  'Buffer, hex': (v) => Buffer.from(v).toString('hex'),
  'Buffer, base64': (v) => Buffer.from(v).toString('base64'),
  'Buffer, base64url': (v) => Buffer.from(v).toString('base64url'),
  'Buffer, utf16le': (v) => Buffer.from(v, 'utf16le'),
  'Buffer, inspected': (v) => util.inspect(Buffer.from(v), { maxArrayLength: null }),
  'util.inspect': (v) => util.inspect({ login: { token: v } }),
  'Error': (v) => new Error('cannot log in with ' + v).stack,
};
const compressed = { 'zlib.deflate': (v) => zlib.deflateSync(v) };

const [, , inputs, out] = process.argv;
for (const form of [...Object.keys(forms), ...Object.keys(compressed)]) {
  fs.mkdirSync(path.join(out, 'node', form), { recursive: true });
}
for (const name of fs.readdirSync(inputs)) {
  const value = fs.readFileSync(path.join(inputs, name), 'utf8');
  const all = name.endsWith('~') ? forms : { ...forms, ...compressed };
  for (const [form, encode] of Object.entries(all)) {
    fs.writeFileSync(path.join(out, 'node', form, name), encode(value));
  }
}
