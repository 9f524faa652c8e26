// A canary router: a KV key says how many visitors the native handlers get; everyone else is served by the proxy.
// notaus steers the key and reads the points written here. README.md tells how to fit this to your own Worker.

import { native } from "./native.js";

const KEY = "config";
const CACHE_SECONDS = 30; // the least that Workers KV allows: how late the edge may see a change
const COOKIE = "pix_cohort";
const COHORTS = ["native", "proxy"];

// What holds where the key is missing or makes no sense: nobody gets the native handlers, whatever their cookie says.
const SAFE = { percent: 0, tag: "", emergency: true };

export default {
  async fetch(request, env, context) {
    const canary = await readCanary(env);
    const visit = assign(request, canary);
    const url = new URL(request.url);
    if (url.pathname === "/api/qa") {
      return marked(qa(canary), canary, visit);
    }
    const started = Date.now();
    const response = await serve(visit.cohort, request, env, context);
    measure(env, request, canary, visit, Date.now() - started, response.status);
    return marked(response, canary, visit);
  },
};

async function readCanary(env) {
  try {
    return parseCanary(await env.KV_CANARY_CONFIG.get(KEY, { type: "json", cacheTtl: CACHE_SECONDS }));
  } catch (error) {
    console.error(`the key ${KEY} could not be read, so all traffic goes to the proxy: ${error}`);
    return SAFE;
  }
}

// Throws where a field has another type or is missing (the tag may be): half a configuration is none.
function parseCanary(value) {
  if (value === null || typeof value !== "object") throw new Error("it is missing, or no JSON object");
  const { canary_percent: percent, canary_tag: tag = "", emergency_proxy: emergency } = value;
  if (typeof percent !== "number" || !(percent >= 0 && percent <= 100)) throw new Error("canary_percent is not 0 to 100");
  if (typeof tag !== "string" || !/^[\w.-]{0,64}$/.test(tag)) throw new Error("canary_tag is no tag");
  if (typeof emergency !== "boolean") throw new Error("emergency_proxy is neither true nor false");
  return { percent, tag, emergency };
}

// The emergency beats the cookie, the cookie beats the dice.
function assign(request, canary) {
  if (canary.emergency) return { cohort: "proxy", reason: "emergency" };
  const known = cookie(request);
  if (COHORTS.includes(known)) return { cohort: known, reason: "sticky" };
  const roll = (crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * 100;
  return { cohort: roll < canary.percent ? "native" : "proxy", reason: "roll" };
}

function cookie(request) {
  const found = (request.headers.get("Cookie") ?? "").match(new RegExp(`(?:^|;\\s*)${COOKIE}=([^;]*)`));
  return found ? found[1].trim() : null;
}

function qa(canary) {
  return Response.json(
    { canary: { percent: canary.percent, tag: canary.tag, emergency_proxy: canary.emergency }, time: new Date().toISOString() },
    { headers: { "Cache-Control": "no-store" } },
  );
}

// A handler that throws is an answer of its cohort too: it is counted, and the visitor gets an error rather than nothing.
async function serve(cohort, request, env, context) {
  try {
    return cohort === "native" ? await native(request, env, context) : await proxy(request, env);
  } catch (error) {
    console.error(JSON.stringify({ level: "ERROR", cohort, path: new URL(request.url).pathname, error: String(error) }));
    return Response.json({ error: "internal error" }, { status: cohort === "native" ? 500 : 502 });
  }
}

// The service as it was before the native handlers, at another address.
function proxy(request, env) {
  const url = new URL(request.url);
  const target = new URL(url.pathname + url.search, env.PROXY_ORIGIN);
  return fetch(new Request(target, request), { redirect: "manual" });
}

// One point per request, in the layout that config/services/pix-immo.yaml reads. Measuring never breaks serving.
function measure(env, request, canary, visit, milliseconds, status) {
  try {
    env.CANARY_METRICS.writeDataPoint({
      indexes: [`pix:${visit.cohort}`], // of its own for each cohort: sampling must not drown a small one
      blobs: [visit.cohort, canary.tag, visit.reason, ...whence(request)],
      doubles: [milliseconds, status],
    });
  } catch (error) {
    console.error(`a point could not be written: ${error}`);
  }
}

function marked(response, canary, visit) {
  const answer = new Response(response.body, response);
  answer.headers.set("X-Pix-Canary", `1;tag=${canary.tag};cohort=${visit.cohort};reason=${visit.reason}`);
  if (visit.reason === "roll") {
    answer.headers.append("Set-Cookie", `${COOKIE}=${visit.cohort}; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax`);
  }
  return answer;
}

// Who would be affected: the route without what it names, the country, the kind of device.
function whence(request) {
  const route = new URL(request.url).pathname.split("/").slice(0, 3).join("/");
  const device = /Mobi/.test(request.headers.get("User-Agent") ?? "") ? "mobile" : "desktop";
  return [route, request.cf?.country ?? "", device];
}
