/**
 * The server's clock, as well as this page can know it, so that every countdown ends when the server says so.
 *
 * Owns: the offset between the two clocks. The `Date` header gives it to a second; a ping on the socket, which
 * knows its way there and back, gives it to half that time and from then on stands.
 */
import { signal } from "./view.js";

const TICK_MS = 250;

let offsetMs = 0;
let errorMs = Infinity;

/** Server time in milliseconds since 1970. */
export function now() {
  return Date.now() + offsetMs;
}

/** Learn from an answer that carried the server's clock `atMs`, sent at `sentMs` and received at `receivedMs`. */
export function learn(atMs, sentMs, receivedMs, resolutionMs = 0) {
  const uncertainty = (receivedMs - sentMs) / 2 + resolutionMs / 2;
  if (uncertainty > errorMs) {
    errorMs += 5; // a laptop's clock drifts; an old answer does not stay the best for ever
    return;
  }
  errorMs = uncertainty;
  offsetMs = atMs + resolutionMs / 2 - (sentMs + receivedMs) / 2;
}

/** Learn from an HTTP response's `Date` header. */
export function learnFromResponse(response, sentMs) {
  const atMs = Date.parse(response.headers.get("date") ?? "");
  if (Number.isFinite(atMs)) learn(atMs, sentMs, Date.now(), 1000);
}

/** Server time as a signal, four times a second: what a countdown reads. */
export const tick = signal(now());
setInterval(() => (tick.value = now()), TICK_MS);
