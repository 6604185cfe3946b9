// A plugin in JavaScript. It speaks the web's own API: the `fetch` event, `Request`, `Response`, streams.
//
// Each request meets the engine as the build left it: what stands outside the functions has run by then,
// and what a request changes, no other sees.

const handlers = {
  "/": { GET: welcome },
  "/json": { POST: greet },
  "/stream": { GET: count },
  "/echo": { POST: echo },
  "/fetch": { GET: relay },
};

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  const methods = Object.hasOwn(handlers, url.pathname) ? handlers[url.pathname] : null;
  if (!methods) return text("not found\n", 404);
  if (!Object.hasOwn(methods, request.method)) {
    return text("method not allowed\n", 405, { allow: Object.keys(methods).join(", ") });
  }
  return methods[request.method](request, url);
}

function welcome() {
  return text("Hello from JavaScript!\n");
}

async function greet(request) {
  let name;
  try {
    ({ name } = await request.json());
  } catch {
    return json({ error: "the body must be a JSON object" }, 400);
  }
  if (typeof name !== "string") return json({ error: "`name` must be a string" }, 400);
  return json({ greeting: `Hello, ${name}!` });
}

function count() {
  const encoder = new TextEncoder();
  let event = 0;
  // `pull` is called again as soon as the last event is on its way.
  const events = new ReadableStream({
    async pull(controller) {
      if (event > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      event += 1;
      controller.enqueue(encoder.encode(`data: ${event}\n\n`));
      if (event === 5) controller.close();
    },
  });
  return new Response(events, { headers: { "content-type": "text/event-stream" } });
}

function echo(request) {
  return new Response(passOn(request), { headers: typeOf(request) });
}

async function relay(_request, url) {
  try {
    const response = await fetch(new URL(url.searchParams.get("url")));
    return new Response(passOn(response), { status: response.status, headers: typeOf(response) });
  } catch (error) {
    // The engine tells that it failed; why, only the host's log knows.
    return text(`${error.message}\n`, 502);
  }
}

// A body's stream, never the whole body as `await message.text()` has it. The transform changes nothing: what
// the engine passes on without one costs it a handle every 8 KiB until the end, and a call may hold 4096.
function passOn(message) {
  return message.body?.pipeThrough(new TransformStream());
}

function typeOf(message) {
  const type = message.headers.get("content-type");
  return type ? { "content-type": type } : {};
}

function text(body, status = 200, headers = {}) {
  return new Response(body, { status, headers: { ...headers, "content-type": "text/plain" } });
}

function json(value, status = 200) {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });
}
