/**
 * The client of `/ws/{show}`: joins with a ticket, resumes by epoch and offset, comes back by itself.
 *
 * Owns: the connection, the epoch and the offset reached. Knows nothing of what the frames mean; `store.js` does.
 * Invariant: a frame's event is handed on at most once; none is skipped without a snapshot saying so.
 * Close codes: 4500-4999 mean stay away; every other ending means come back, after a jittered and capped pause.
 */

/**
 * @typedef {{o: number, t: string, [member: string]: unknown}} ShowEvent
 * @typedef {{e: string, o: number, ev: ShowEvent[], st: Record<string, unknown>, snapshot?: boolean,
 *   recovered?: boolean, reconnect_ms?: number}} Frame
 * @typedef {"connecting" | "open" | "waiting" | "refused" | "closed"} Status
 * @typedef {Error & {code: string, detail: string, retryAfterMs: number | null}} Refusal
 */
const SUBPROTOCOL = "showfloor.v1+json";
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 15_000;
const DIRECTED_MAX_MS = 60_000; // a longer direction is a mistake
const OPEN_DEADLINE_MS = 10_000;
const PING_EVERY_MS = 20_000;
const REPLY_DEADLINE_MS = 8_000;
const PENDING_MAX = 32;

/** True when the server asks this client not to return. @param {number} code @returns {boolean} */
export function staysAway(code) {
  return code >= 4500 && code <= 4999;
}

/** Milliseconds before attempt number `attempt` (from 0): full jitter, so that a crowd does not return as one. */
export function backoffMs(attempt, random = Math.random()) {
  return Math.round(Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt) * (0.2 + 0.8 * random));
}

/**
 * The pause before attempt number `attempt`. The server's direction counts once, for the first: it has given each client
 * another moment.
 */
export function pauseMs(attempt, directedMs = null, random = Math.random()) {
  if (directedMs !== null && attempt === 0) return Math.min(Math.max(directedMs, 0), DIRECTED_MAX_MS);
  return backoffMs(attempt, random);
}

/** Where a client stands in a show's sequence of events, and what of a frame is new to it. */
export class Position {
  epoch = null;
  offset = 0;

  /** The part of `frame` not seen before, and the place moved on. Offsets of another epoch mean nothing. */
  advance(frame) {
    const fresh = frame.snapshot || frame.e !== this.epoch;
    const events = frame.ev ?? [];
    const unseen = fresh ? events : events.filter((event) => event.o === undefined || event.o > this.offset);
    this.offset = fresh ? frame.o : Math.max(this.offset, frame.o);
    this.epoch = frame.e;
    return { ...frame, ev: unseen };
  }

  /** What to ask for on coming back; empty on the first visit. */
  get query() {
    return this.epoch === null ? {} : { epoch: this.epoch, offset: String(this.offset) };
  }
}

/**
 * `new ShowSocket({show, ticket, onFrame, onStatus})`; then `open()`, and `close()` when done.
 *
 * `ticket` is an async function that answers a fresh ticket; an error of its with `status` 4xx (429 apart) ends the
 * attempts. `onStatus` hears "connecting", "open", "waiting" (with the pause in ms) and "refused" (with the code);
 * `onPong` the server's clock, when it was asked and when the answer came.
 *
 * @param {{show: string, ticket: () => Promise<string>, onFrame: (frame: Frame) => void,
 *   onStatus?: (status: Status, more: number | Refusal | null) => void,
 *   onPong?: (atMs: number, sentMs: number, heardMs: number) => void, base?: string}} given
 */
export class ShowSocket {
  constructor({ show, ticket, onFrame, onStatus = () => {}, onPong = () => {}, base = location.origin }) {
    Object.assign(this, { show, ticket, onFrame, onStatus, onPong, base });
    this.position = new Position();
    this.pending = new Map();
    this.attempts = 0;
    this.directedMs = null;
    this.generation = 0;
    this.wanted = false;
    this.wake = () => this.wanted && this.status === "waiting" && this.#connect();
  }

  open() {
    this.wanted = true;
    addEventListener("online", this.wake);
    this.#connect();
  }

  close() {
    this.wanted = false;
    removeEventListener("online", this.wake);
    this.#drop();
    this.#say("closed");
  }

  /** Sends a command and answers its reply's `ok`; raises `{code, detail, retryAfterMs}`, `code` "network" if none. */
  send(command) {
    if (this.socket?.readyState !== WebSocket.OPEN || this.pending.size >= PENDING_MAX) {
      return Promise.reject(refusal("network", "The connection is being restored."));
    }
    const ref = String((this.refs = (this.refs ?? 0) + 1));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(ref, { error: { code: "network", detail: "No answer came." } }), REPLY_DEADLINE_MS);
      this.pending.set(ref, { resolve, reject, timer });
      this.socket.send(JSON.stringify({ ...command, ref }));
    });
  }

  /** Says something in the chat. @returns {Promise<{offset: number, id: string}>} */
  chat(text, replyTo = "") {
    return this.send({ t: "chat", text, ...(replyTo && { reply_to: replyTo }) });
  }

  /** Taps a reaction. @param {"heart" | "clap" | "fire" | "laugh" | "wow"} kind @param {number} count up to 20 */
  react(kind, count = 1) {
    return this.send({ t: "react", kind, count });
  }

  /** Votes for an option, from 0; another vote replaces it while the poll is open. */
  vote(pollId, option) {
    return this.send({ t: "vote", poll_id: pollId, option });
  }

  /** Asks the host. @returns {Promise<{id: string}>} */
  ask(text) {
    return this.send({ t: "ask", text });
  }

  /** Wants a question answered, too. */
  want(questionId) {
    return this.send({ t: "want", question_id: questionId });
  }

  #say(status, more = null) {
    this.status = status;
    this.onStatus(status, more);
  }

  #settle(ref, { ok, error }) {
    const waiting = this.pending.get(ref);
    if (!waiting) return;
    this.pending.delete(ref);
    clearTimeout(waiting.timer);
    if (error) waiting.reject(refusal(error.code, error.detail, error.retry_after_ms));
    else waiting.resolve(ok ?? {});
  }

  /** Forget the current connection; whatever it still says is ignored, for a half-open one can close late. */
  #drop() {
    this.generation += 1;
    clearTimeout(this.timer);
    clearInterval(this.pinging);
    this.socket?.close(1000);
    this.socket = null;
    for (const ref of [...this.pending.keys()]) this.#settle(ref, { error: { code: "network", detail: "The connection was lost." } });
  }

  async #connect() {
    this.#drop();
    const generation = this.generation;
    const current = () => this.wanted && generation === this.generation;
    this.#say("connecting");
    let ticket;
    try {
      ticket = await this.ticket();
    } catch (problem) {
      if (!current()) return;
      const refused = problem.status >= 400 && problem.status < 500 && problem.status !== 429;
      if (refused) this.#say("refused", problem);
      else this.#later(problem.retryAfterMs ?? 0);
      return;
    }
    if (current()) this.#dial(ticket, current);
  }

  #dial(ticket, current) {
    const url = new URL(`/ws/${encodeURIComponent(this.show)}`, this.base);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ ticket, ...this.position.query });
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.socket = socket;
    this.timer = setTimeout(() => current() && this.#later(), OPEN_DEADLINE_MS);
    socket.onopen = () => current() && this.#opened();
    socket.onmessage = ({ data }) => current() && this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      if (!current()) return;
      if (staysAway(code)) this.#refuse(code, reason);
      else this.#later();
    };
  }

  #opened() {
    clearTimeout(this.timer);
    this.#say("open");
    // A phone that changed networks keeps a dead socket for minutes: an unanswered ping ends it.
    const generation = this.generation;
    const lost = (problem) => problem.code === "network" && generation === this.generation && this.#later();
    const ping = () => this.#ping().catch(lost);
    this.pinging = setInterval(ping, PING_EVERY_MS);
    ping();
  }

  async #ping() {
    const sentMs = Date.now();
    const { at_ms: atMs } = await this.send({ t: "ping" });
    this.onPong(atMs, sentMs, Date.now());
  }

  #receive(message) {
    if (message.re !== undefined) return this.#settle(message.re, message);
    if (message.private !== undefined) return this.#hear(message.private);
    if (message.e === undefined) return undefined;
    this.attempts = 0; // only a server that talks has let us in
    this.directedMs = message.reconnect_ms ?? null;
    return this.onFrame(this.position.advance(message));
  }

  /** An event for this account alone has no place in the sequence. */
  #hear(event) {
    return this.onFrame({ e: this.position.epoch, o: this.position.offset, ev: [event] });
  }

  #refuse(code, reason) {
    this.#drop();
    this.#say("refused", { code, detail: reason });
  }

  #later(atLeastMs = 0) {
    this.#drop();
    const pause = Math.max(pauseMs(this.attempts, this.directedMs), atLeastMs);
    this.attempts += 1;
    this.directedMs = null;
    this.#say("waiting", pause);
    this.timer = setTimeout(() => this.wanted && this.#connect(), pause);
  }
}

function refusal(code, detail, retryAfterMs = null) {
  return Object.assign(new Error(detail || code), { code, detail, retryAfterMs: retryAfterMs ?? null });
}
