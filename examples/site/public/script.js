// The page's script: lists the books of the API, and adds one.

const API = "/api/books";
const list = document.querySelector("#books");
const notice = document.querySelector("#notice");
const form = document.querySelector("form");

// The API's answer as JSON. An answer that refuses is an error that says why (RFC 9457).
async function ask(url, options) {
  const answer = await fetch(url, options);
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const fields = (problem.errors ?? []).map(({ field, message }) => `${field}: ${message}`);
  throw new Error([problem.detail ?? `The answer was ${answer.status}.`, ...fields].join(" "));
}

function item(book) {
  const item = document.createElement("li");
  const title = document.createElement("cite");
  title.textContent = book.title;
  item.append(title, ` by ${book.author}, ${(book.price_cents / 100).toFixed(2)}`);
  return item;
}

async function show() {
  const items = [];
  let next = "";
  while (next !== undefined) {
    const page = await ask(`${API}?limit=100${next && `&after=${next}`}`);
    items.push(...page.books.map(item));
    next = page.next;
  }
  list.replaceChildren(...items);
  notice.textContent = items.length ? `${items.length} in the shop.` : "The shop is empty.";
}

async function add() {
  const { title, author, isbn, price, token } = Object.fromEntries(new FormData(form));
  const book = { title, author, isbn, price_cents: Math.round(price * 100) };
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  await ask(API, { method: "POST", headers, body: JSON.stringify(book) });
  form.reset();
  await show();
}

// Runs `work`, and says why if it fails.
function attempt(work) {
  work().catch((error) => (notice.textContent = error.message));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(add);
});
attempt(show);
