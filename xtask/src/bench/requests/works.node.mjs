// The works of `cargo xtask bench` on Node, in ordinary code: PROTOCOL [CERTIFICATE KEY], and the address on standard output.
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';

const [protocol, certificate, key] = process.argv.slice(2);
const downloadBytes = 64 << 20;
const pieceBytes = 64 << 10;
const period = 251;
const pattern = Buffer.from(Array.from({ length: pieceBytes + period }, (_, at) => at % period));

function catalogue() {
  const book = (_, id) => ({
    id,
    title: `Book number ${id}`,
    author: 'A. Poet',
    year: 1990 + id,
    price_cents: 1250,
    tags: ['novel', 'paper'],
    available: true,
  });
  return { books: Array.from({ length: 8 }, book), next: '008' };
}

function* download() {
  for (let sent = 0; sent < downloadBytes; sent += pieceBytes) {
    yield pattern.subarray(sent % period, (sent % period) + pieceBytes);
  }
}

function answer(response, status, type, text) {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function serve(request, response) {
  switch (request.url) {
    case '/':
      return answer(response, 200, 'text/plain', 'hello from version-1\n');
    case '/json':
      return answer(response, 200, 'application/json', JSON.stringify(catalogue()));
    case '/echo':
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': request.headers['content-length'],
      });
      return request.pipe(response);
    case '/download':
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': downloadBytes,
      });
      return Readable.from(download(), { objectMode: false, highWaterMark: 2 * pieceBytes }).pipe(response);
    default:
      return answer(response, 404, 'text/plain', 'no such work\n');
  }
}

const server = {
  http1: () => http.createServer(serve),
  http2: () => http2.createServer(serve),
  tls: () => https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve),
}[protocol]();
server.listen(0, '127.0.0.1', () => {
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
});
// It never outlives who started it.
process.stdin.resume().on('end', () => process.exit());
