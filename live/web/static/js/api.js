/**
 * The HTTP interface: one function per operation, problem+json as errors, retries that cannot buy twice.
 *
 * Owns: how a call is retried. Invariant: a call that changes something carries one Idempotency-Key for one intent
 * of the user, made by `intent()`; a retry after a lost answer sends the same key, so the server replays its answer.
 */
import { learnFromResponse } from "./clock.js";

const DEADLINE_MS = 15_000;
const RETRIES = 3;
const RETRY_BASE_MS = 300;

/** A refusal of the server's (RFC 9457), or `code: "network"` when no answer came at all. */
export class Problem extends Error {
  constructor({ status, code, detail, retryAfterMs = null, extra = {} }) {
    super(detail || code);
    Object.assign(this, { name: "Problem", status, code, detail, retryAfterMs, extra });
  }
}

/** A fresh Idempotency-Key: make one per tap, and keep it for every retry of that tap. */
export function intent() {
  // crypto.randomUUID exists in secure contexts alone, and a phone on the local network is not in one.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function sleep(ms, signal = undefined) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** `Retry-After` in milliseconds (seconds or a date, RFC 9110 section 10.2.3), or null. */
export function retryAfterMs(response) {
  const value = response.headers.get("retry-after");
  if (value === null) return null;
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

export async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  const { status, code, detail, title, type, ...extra } = body;
  return new Problem({
    status: response.status,
    code: code ?? `http_${response.status}`,
    detail: detail ?? title ?? response.statusText,
    retryAfterMs: retryAfterMs(response),
    extra,
  });
}

// 409 idempotency_in_flight: our own first attempt is still being answered; ask again with the same key.
const PASSING = new Set(["network", "unavailable", "going_away", "idempotency_in_flight"]);

function isWorthRetrying(problem, { method, key }) {
  const safe = method === "GET" || method === "PUT" || method === "DELETE" || Boolean(key);
  return safe && PASSING.has(problem.code);
}

/** True for what is mostly over when one asks again a little later. */
export function isPassing({ code, status }) {
  return PASSING.has(code) || status === 429 || status >= 500;
}

async function attempt(path, { method, token, key, body, keepalive }) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  if (body !== undefined) headers["content-type"] = "application/json";
  const sentMs = Date.now();
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      keepalive,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    // An answer that breaks off in its body is no answer: a reload does that, and the tap must not be forgotten for it.
    if (response.ok) text = await response.text();
  } catch {
    throw new Problem({ status: 0, code: "network", detail: "The server did not answer." });
  }
  learnFromResponse(response, sentMs);
  if (!response.ok) throw await problemOf(response);
  return { status: response.status, body: text ? JSON.parse(text) : null };
}

/** One call with at most three retries of what may be retried; raises Problem. Answers `{status, body}`. */
export async function call(path, options = {}) {
  const request = { method: "GET", ...options };
  for (let tried = 0; ; tried += 1) {
    try {
      return await attempt(path, request);
    } catch (problem) {
      if (!(problem instanceof Problem) || tried >= RETRIES || !isWorthRetrying(problem, request)) throw problem;
      const pause = RETRY_BASE_MS * 2 ** tried * (0.5 + Math.random());
      await sleep(Math.max(pause, Math.min(problem.retryAfterMs ?? 0, 5000)));
    }
  }
}

const id = encodeURIComponent;
const show = (showId, rest = "") => `/api/v1/shows/${id(showId)}${rest}`;
const body = async (answer) => (await answer).body;

/** Every operation the pages use. `token` is a Bearer token; `key` comes from `intent()`. */
export const api = {
  shows: (cursor = "") => body(call(`/api/v1/shows${cursor ? `?cursor=${id(cursor)}` : ""}`)),
  /** An address, not a call: images are asked for by the browser itself. */
  thumbnail: (showId) => show(showId, "/thumbnail"),
  show: (showId) => body(call(show(showId))),
  join: (showId, name = "") => body(call(show(showId, "/guests"), { method: "POST", body: { name } })),
  ticket: (showId, token) => body(call(show(showId, "/tickets"), { method: "POST", token })),
  say: (showId, token, text, reply_to = "") =>
    body(call(show(showId, "/chat"), { method: "POST", token, body: { text, ...(reply_to && { reply_to }) } })),
  deleteChat: (showId, token, message) => call(show(showId, `/chat/${id(message)}`), { method: "DELETE", token }),
  pinChat: (showId, token, message_id) => call(show(showId, "/chat/pinned"), { method: "PUT", token, body: { message_id } }),
  unpinChat: (showId, token) => call(show(showId, "/chat/pinned"), { method: "DELETE", token }),
  sanctions: (showId, token) => body(call(show(showId, "/sanctions?limit=100"), { token })),
  sanction: (showId, token, account, request) =>
    body(call(show(showId, `/sanctions/${id(account)}`), { method: "PUT", token, body: request })),
  lift: (showId, token, account) => call(show(showId, `/sanctions/${id(account)}`), { method: "DELETE", token }),
  chatRules: (showId, token) => body(call(show(showId, "/chat/rules"), { token })),
  setChatRules: (showId, token, rules) => body(call(show(showId, "/chat/rules"), { method: "PUT", token, body: rules })),
  vote: (showId, token, poll, option) =>
    call(show(showId, `/polls/${id(poll)}/vote`), { method: "PUT", token, body: { option } }),
  openPoll: (showId, token, asked) => body(call(show(showId, "/polls"), { method: "POST", token, body: asked })),
  closePoll: (showId, token, poll) => body(call(show(showId, `/polls/${id(poll)}/close`), { method: "POST", token })),
  polls: (showId, token) => body(call(show(showId, "/polls"), { token })),
  ask: (showId, token, text) => body(call(show(showId, "/questions"), { method: "POST", token, body: { text } })),
  want: (showId, token, question) => call(show(showId, `/questions/${id(question)}/vote`), { method: "PUT", token }),
  /** `captured_at_ms`: the moment of the video in which the answer begins, as of `pin`. */
  answered: (showId, token, question, captured_at_ms = null) =>
    body(call(show(showId, `/questions/${id(question)}/answered`), { method: "PUT", token, body: captured_at_ms === null ? {} : { captured_at_ms } })),
  dismissQuestion: (showId, token, question) => call(show(showId, `/questions/${id(question)}`), { method: "DELETE", token }),
  announce: (showId, token, text, duration_s = null) =>
    body(call(show(showId, "/announcement"), { method: "PUT", token, body: { text, ...(duration_s !== null && { duration_s }) } })),
  endAnnouncement: (showId, token) => call(show(showId, "/announcement"), { method: "DELETE", token }),
  setSlowMode: (showId, token, ms) =>
    body(call(show(showId, "/chat-settings"), { method: "PUT", token, body: { slow_mode_ms: ms } })),

  /** `seen`: the price of one in minor units; at another one nothing is held. */
  hold: (showId, token, key, variant_id, quantity = 1, seen = null) =>
    body(call(show(showId, "/holds"), { method: "POST", token, key, body: { variant_id, quantity, ...(seen !== null && { unit_price_amount: seen }) } })),
  quote: (showId, token, asked) => body(call(show(showId, "/baskets/quote"), { method: "POST", token, body: asked })),
  payBasket: (showId, token, key, asked) => call(show(showId, "/baskets/pay"), { method: "POST", token, key, body: asked }),
  charges: (showId) => body(call(show(showId, "/charges"))),
  wait: (showId, token, variant_id, quantity = 1) =>
    body(call(show(showId, "/waitlist"), { method: "POST", token, body: { variant_id, quantity } })),
  place: (entry, token) => body(call(`/api/v1/waitlist/${id(entry)}`, { token })),
  leaveLine: (entry, token) => call(`/api/v1/waitlist/${id(entry)}`, { method: "DELETE", token }),
  getHold: (hold, token) => body(call(`/api/v1/holds/${id(hold)}`, { token })),
  release: (hold, token) => call(`/api/v1/holds/${id(hold)}`, { method: "DELETE", token }),
  pay: (hold, token, key, payment_method, email = "") =>
    call(`/api/v1/holds/${id(hold)}/pay`, { method: "POST", token, key, body: { payment_method, ...(email && { email }) } }),
  payment: (hold, token) => body(call(`/api/v1/holds/${id(hold)}/payment`, { token })),
  cancelOrder: (order, token) => body(call(`/api/v1/orders/${id(order)}/cancel`, { method: "POST", token })),
  /** What the token's account has in the show. */
  purchases: (showId, token, cursor = "") =>
    body(call(show(showId, `/purchases?limit=20${cursor ? `&cursor=${id(cursor)}` : ""}`), { token })),
  order: (order, token) => body(call(`/api/v1/orders/${id(order)}`, { token })),

  setState: (showId, token, state) => body(call(show(showId, "/state"), { method: "PUT", token, body: { state } })),
  issueToken: (token, asked) => body(call("/api/v1/tokens", { method: "POST", token, body: asked })),
  setRun: (showId, token, variant_ids) => body(call(show(showId, "/run"), { method: "PUT", token, body: { variant_ids } })),
  switchChat: (showId, token, open) => body(call(show(showId, "/chat"), { method: "PUT", token, body: { open } })),
  /** `reason`: what viewers read while it is stopped. */
  switchVideo: (showId, token, open, reason = "") =>
    body(call(show(showId, "/video"), { method: "PUT", token, body: { open, reason } })),
  setSales: (showId, token, open) => body(call(show(showId, "/sales"), { method: "PUT", token, body: { open } })),
  /** `captured_at_ms`: the moment of the video that it belongs to, by `captureClock()` of the page that publishes it. */
  pin: (showId, token, variant_id, captured_at_ms = null) =>
    call(show(showId, "/pins"), { method: "POST", token, body: { variant_id, ...(captured_at_ms !== null && { captured_at_ms }) } }),
  unpin: (showId, token, variant) => call(show(showId, `/pins/${id(variant)}`), { method: "DELETE", token }),
  setPrice: (showId, token, variant, price_amount) =>
    body(call(show(showId, `/items/${id(variant)}/price`), { method: "PUT", token, body: { price_amount } })),
  beginFlash: (showId, token, key, variant, flash) =>
    body(call(show(showId, `/items/${id(variant)}/flash-price`), { method: "PUT", token, key, body: flash })),
  endFlash: (showId, token, variant) => body(call(show(showId, `/items/${id(variant)}/flash-price`), { method: "DELETE", token })),
  coupons: (showId, token) => body(call(show(showId, "/coupons"), { token })),
  pinCoupon: (showId, token, code) => body(call(show(showId, "/coupon"), { method: "PUT", token, body: { code } })),
  unpinCoupon: (showId, token) => call(show(showId, "/coupon"), { method: "DELETE", token }),
  restock: (showId, token, key, variant, quantity) =>
    body(call(show(showId, `/items/${id(variant)}/restock`), { method: "POST", token, key, body: { quantity } })),
  withdraw: (showId, token, key, variant, quantity, reason) =>
    body(call(show(showId, `/items/${id(variant)}/withdraw`), { method: "POST", token, key, body: { quantity, reason } })),
  setLow: (showId, token, variant, low_at) =>
    body(call(show(showId, `/items/${id(variant)}/low-stock`), { method: "PUT", token, body: { low_at } })),
  audit: (showId, token, cursor = "") =>
    body(call(show(showId, `/audit${cursor ? `?cursor=${id(cursor)}` : ""}`), { token })),
  priceErrors: (showId, token, { variant_id, amount, from_ms, to_ms }) =>
    body(call(show(showId, `/price-errors?variant=${id(variant_id)}&amount=${amount}&from=${from_ms}&to=${to_ms}`), { token })),
  /** Safe to repeat: what was given back is not given back again. */
  rollBack: (showId, token, wrong) =>
    body(call(show(showId, "/price-errors/refunds"), { method: "POST", token, body: wrong })),
  rehearse: (showId, token, on) => body(call(show(showId, "/rehearsal"), { method: "PUT", token, body: { on } })),
  openBook: (showId) => body(call(show(showId, "/open-book"))),
  publicLedger: (showId) => body(call(show(showId, "/public-ledger"))),
  /** An address: the file needs the buyer's token, see download.js. */
  receipt: (order) => `/api/v1/orders/${id(order)}/receipt`,
  orders: (showId, token, cursor = "") =>
    body(call(show(showId, `/orders${cursor ? `?cursor=${id(cursor)}` : ""}`), { token })),
  totals: (showId, token) => body(call(show(showId, "/totals"), { token })),
  media: (showId, token) => body(call(show(showId, "/media"), { token })),
  worstSessions: (showId, token, limit) => body(call(show(showId, `/media/sessions?order=worst&limit=${limit}`), { token })),
  holds: (showId, token) => body(call(show(showId, "/holds"), { token })),
  parked: (showId, token) => body(call(show(showId, "/outbox"), { token })),
  retryParked: (showId, token, entry) => body(call(show(showId, `/outbox/${id(entry)}/retry`), { method: "POST", token })),
  differences: (showId, token) => body(call(show(showId, "/payments/differences"), { token })),
  refund: (order, token, key, amount = null) =>
    body(call(`/api/v1/orders/${id(order)}/refund`, { method: "POST", token, key, body: amount === null ? {} : { amount } })),
};
