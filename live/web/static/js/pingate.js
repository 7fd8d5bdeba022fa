/**
 * Lets a pin through when its picture is on screen.
 *
 * A pin comes by the socket, ahead of the picture that the host showed when pinning, and carries the capture time of
 * that picture. It waits here until the video has come so far: for `WAIT_MAX_MS` at most, and not at all where no
 * picture is seen or none says when it was captured. Owns: the pins that wait, and notes on those that did.
 * Invariant: pins pass in the order they came in; an unpin waits for the pin it undoes and for nothing else; what is
 * neither passes at once; a snapshot passes at once and forgets what waits, for it says it all.
 */

export const WAIT_MAX_MS = 2_500;
/** So long for the first capture time: a picture or two, and an answer of the browser's statistics. */
export const UNKNOWN_MAX_MS = 400;
/** Half a picture: a tap falls between two, and a rounded timestamp must not cost a whole one. */
const SLACK_MS = 16;
const NOTES_MAX = 50;

const dueMs = ({ event }) => event.captured_at_ms ?? null;

export class PinGate {
  /**
   * `apply` takes a frame of the socket's; `frames` is a `Frames`; `isOff` is true while no picture is expected.
   * `onNote` hears the last pins as `{variant, by, waitedMs, skewMs}`: `by` is "picture", "late" (it waited long enough),
   * "unknown" (no capture times) or "unseen"; `skewMs` how much newer the picture on screen was, null where not known.
   */
  constructor({ apply, frames, isOff = () => false, onNote = () => {} }) {
    Object.assign(this, { apply, frames, isOff, onNote });
    this.waiting = [];
    this.notes = [];
    this.known = false;
    addEventListener("visibilitychange", () => this.#look());
  }

  /** Takes a frame of the socket's, and hands on whatever need not wait. */
  take(frame) {
    if (frame.snapshot) {
      this.waiting = [];
      this.apply(frame);
    } else {
      this.apply({ ...frame, ev: (frame.ev ?? []).filter((event) => !this.#holds(event)) });
    }
    this.#look();
  }

  #holds(event) {
    const undoes = event.t === "unpin" && this.waiting.some((one) => one.event.variant_id === event.variant_id);
    // A pin without a capture time keeps its place behind those with one.
    const waits = event.t === "pin" && (this.waiting.length > 0 || dueMs({ event }) !== null);
    if (undoes || waits) this.waiting.push({ event, sinceMs: performance.now() });
    return undoes || waits;
  }

  /** After each frame of the socket's, so that a host who leaves or a page that is hidden ends the wait. */
  #look() {
    if (this.waiting.length > 0 && (this.isOff() || !this.frames.areSeen)) this.#pass(() => true, "unseen");
    else this.#settle();
  }

  #picture(capturedMs) {
    if (capturedMs === null) return;
    this.known = true;
    this.#pass((one) => dueMs(one) === null || capturedMs >= dueMs(one) - SLACK_MS, "picture", capturedMs);
  }

  #lapsed() {
    const sinceMs = performance.now() - this.#patienceMs;
    this.#pass((one) => one.sinceMs <= sinceMs, this.known ? "late" : "unknown");
  }

  get #patienceMs() {
    return this.known ? WAIT_MAX_MS : UNKNOWN_MAX_MS;
  }

  /** Hands on, from the head of the line, those of whom `may` is true, and each unpin whose pin has gone. */
  #pass(may, by, capturedMs = null) {
    const passed = [];
    const held = [];
    for (const one of this.waiting) {
      const isHeld = one.event.t === "unpin" ? held.some(({ event }) => event.variant_id === one.event.variant_id) : held.length > 0 || !may(one);
      (isHeld ? held : passed).push(one);
    }
    this.waiting = held;
    if (passed.length > 0) this.apply({ ev: passed.map(({ event }) => event) });
    this.#note(passed.filter((one) => dueMs(one) !== null), by, capturedMs);
    this.#settle();
  }

  /** Follows the pictures, with a deadline, exactly while somebody waits. */
  #settle() {
    clearTimeout(this.timer);
    if (this.waiting.length === 0) {
      this.unfollow?.();
      this.unfollow = null;
      this.known = false;
      return;
    }
    this.known ||= this.frames.areTimed;
    this.unfollow ??= this.frames.follow((capturedMs) => this.#picture(capturedMs));
    this.timer = setTimeout(() => this.#lapsed(), this.waiting[0].sinceMs + this.#patienceMs - performance.now());
  }

  #note(passed, by, capturedMs) {
    if (passed.length === 0) return;
    const notes = passed.map((one) => ({
      variant: one.event.variant_id,
      by,
      waitedMs: performance.now() - one.sinceMs,
      skewMs: capturedMs === null ? null : capturedMs - dueMs(one),
    }));
    this.notes = [...this.notes, ...notes].slice(-NOTES_MAX);
    this.onNote(this.notes);
  }
}
