// The tour as a user of Hono writes it: an app with its routes, in the manner of a service worker.
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";

const app = new Hono();

app.get("/", (c) => c.text("Hello from Hono!\n"));

app.post("/json", async (c) => {
  const body = await c.req.json().catch(() => null);
  if (typeof body?.name !== "string") return c.json({ error: "`name` must be a string" }, 400);
  return c.json({ greeting: `Hello, ${body.name}!` });
});

app.get("/stream", (c) =>
  streamSSE(c, async (stream) => {
    for (let event = 1; event <= 5; event += 1) {
      if (event > 1) await stream.sleep(50);
      await stream.writeSSE({ data: `${event}` });
    }
  }),
);

app.post("/echo", (c) => c.body(c.req.raw.body, 200, { "content-type": c.req.header("content-type") }));

app.notFound((c) => c.text("not found\n", 404));

addEventListener("fetch", (event) => event.respondWith(app.fetch(event.request)));
