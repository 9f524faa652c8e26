// The native handlers: put your own here. What they throw, and every status from 500 up, counts as an error of the canary.

const UPLOAD = /^\/api\/uploads\/([\w.-]{1,200})$/;

export async function native(request, env) {
  const url = new URL(request.url);
  const upload = url.pathname.match(UPLOAD);
  if (upload && request.method === "PUT") return store(upload[1], request, env);
  if (request.method === "GET" || request.method === "HEAD") return listings(url, env);
  return Response.json({ error: "method not allowed" }, { status: 405 });
}

// Reads what the page shows from the team's data service. Its failure is this handler's failure.
async function listings(url, env) {
  const answer = await fetch(new URL(url.pathname + url.search, env.DATA_ORIGIN), { headers: { Accept: "application/json" } });
  if (answer.status >= 500) throw new Error(`the data service answered ${answer.status}`);
  return new Response(answer.body, answer);
}

async function store(name, request, env) {
  if (!(await permitted(request, env))) return Response.json({ error: "not permitted" }, { status: 403 });
  // R2 takes a stream only if its length is known.
  if (!request.body || !request.headers.has("Content-Length")) {
    return Response.json({ error: "send a body with Content-Length" }, { status: 411 });
  }
  const contentType = request.headers.get("Content-Type") ?? "application/octet-stream";
  const stored = await env.MEDIA.put(`uploads/${name}`, request.body, { httpMetadata: { contentType } });
  return Response.json({ key: stored.key, size: stored.size, etag: stored.etag }, { status: 201 });
}

// Without the secret UPLOAD_TOKEN nobody may upload. Hashed first: equal lengths, and a comparison that takes equal time.
async function permitted(request, env) {
  if (!env.UPLOAD_TOKEN) return false;
  const given = await digest(request.headers.get("Authorization") ?? "");
  return crypto.subtle.timingSafeEqual(given, await digest(`Bearer ${env.UPLOAD_TOKEN}`));
}

function digest(text) {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
