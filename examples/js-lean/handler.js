// A Jackfield handler in JavaScript: a whole request in, a whole answer out. What is thrown goes to the log,
// and the caller gets a plain 500.

const handlers = {
  "/": { GET: () => answer(200, "text/plain", "Hello from JavaScript!\n") },
  "/json": { POST: greet },
};

export const handler = {
  handle(request) {
    const { method, path } = request.head;
    if (!Object.hasOwn(handlers, path)) return answer(404, "text/plain", "not found\n");
    const methods = handlers[path];
    if (Object.hasOwn(methods, method)) return methods[method](request);
    const response = answer(405, "text/plain", "method not allowed\n");
    response.head.headers.push(["allow", bytes(Object.keys(methods).join(", "))]);
    return response;
  },
};

function greet(request) {
  let name;
  try {
    ({ name } = JSON.parse(text(request.body)));
  } catch {
    return json(400, { error: "the body must be a JSON object" });
  }
  if (typeof name !== "string") return json(400, { error: "`name` must be a string" });
  return json(200, { greeting: `Hello, ${name}!` });
}

function json(status, value) {
  return answer(status, "application/json", JSON.stringify(value));
}

function answer(status, contentType, body) {
  return { head: { status, headers: [["content-type", bytes(contentType)]] }, body: bytes(body) };
}

// QuickJS is the language alone, without the web's TextEncoder and TextDecoder. Percent-encoding is UTF-8.
function bytes(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}

function text(bytes) {
  return decodeURIComponent(escape(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
}
