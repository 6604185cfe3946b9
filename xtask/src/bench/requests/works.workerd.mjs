// The works of `cargo xtask bench` on workerd, in ordinary code.

const downloadBytes = 64 << 20;
const pieceBytes = 64 << 10;
const period = 251;
const pattern = Uint8Array.from({ length: pieceBytes + period }, (_, at) => at % period);

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

async function download(writable) {
  const writer = writable.getWriter();
  for (let sent = 0; sent < downloadBytes; sent += pieceBytes) {
    await writer.write(pattern.subarray(sent % period, (sent % period) + pieceBytes));
  }
  await writer.close();
}

function answer(status, type, body) {
  return new Response(body, { status, headers: { 'content-type': type } });
}

export default {
  fetch(request, _environment, context) {
    switch (new URL(request.url).pathname) {
      case '/':
        return answer(200, 'text/plain', 'hello from version-1\n');
      case '/json':
        return answer(200, 'application/json', JSON.stringify(catalogue()));
      case '/echo':
        return answer(200, 'application/octet-stream', request.body);
      case '/download': {
        const { readable, writable } = new FixedLengthStream(downloadBytes);
        context.waitUntil(download(writable));
        return answer(200, 'application/octet-stream', readable);
      }
      default:
        return answer(404, 'text/plain', 'no such work\n');
    }
  },
};
