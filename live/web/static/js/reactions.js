/**
 * Reactions: five buttons, and what others tap as small signs that rise over the picture.
 *
 * Taps of a moment go as one command. What rises is the growth of the totals, a few signs at most, and none at all where
 * motion is not wanted, where nobody looks, or when the connection lags: an old crowd's cheers are no news.
 */
import { Clap, Flame, Heart, Laugh, Wow } from "./icons.js";
import { count } from "./time.js";
import { html, signal } from "./view.js";

export const KINDS = { heart: Heart, clap: Clap, fire: Flame, laugh: Laugh, wow: Wow };
const LABELS = { heart: "Love", clap: "Applause", fire: "Fire", laugh: "Laugh", wow: "Wow" };
const GATHER_MS = 400;
const TAPS_MAX = 10;
const RISING_MAX = 12;
const RISE_MS = 2_400;

/** How many of `total` new reactions rise: one each of a few, then ever fewer. */
export function risingOf(total) {
  return Math.min(6, Math.ceil(Math.sqrt(Math.max(0, total))));
}

export class Reactions {
  /** `calm()` is true while nothing may rise. */
  constructor({ socket, calm = () => false }) {
    Object.assign(this, { socket, calm });
    this.rising = signal([]);
    this.tapped = new Map();
    this.known = null;
    this.born = 0;
  }

  tap(kind) {
    this.tapped.set(kind, Math.min(TAPS_MAX, (this.tapped.get(kind) ?? 0) + 1));
    this.#rise(kind, 1);
    this.sending ??= setTimeout(() => this.#send(), GATHER_MS);
  }

  /** Totals arrived; after a pause or a snapshot they are taken for known. */
  hear(totals, isFresh) {
    const before = this.known;
    this.known = totals;
    if (!isFresh || before === null) return;
    for (const [kind, total] of Object.entries(totals)) {
      if (kind in KINDS) this.#rise(kind, risingOf(total - (before[kind] ?? 0)));
    }
  }

  #send() {
    this.sending = null;
    const taps = [...this.tapped];
    this.tapped.clear();
    // Above one's share, or without a connection, a tap was for oneself.
    for (const [kind, taps_] of taps) this.socket.react(kind, taps_).catch(() => {});
  }

  #rise(kind, many) {
    if (this.calm()) return;
    const room = Math.max(0, Math.min(many, RISING_MAX - this.rising.value.length));
    const fresh = Array.from({ length: room }, () => ({ id: (this.born += 1), kind, lane: this.born % 5 }));
    if (fresh.length === 0) return;
    this.rising.value = [...this.rising.value, ...fresh];
    const gone = new Set(fresh.map(({ id }) => id));
    setTimeout(() => (this.rising.value = this.rising.value.filter(({ id }) => !gone.has(id))), RISE_MS);
  }
}

export function ReactionBar({ reactions, totals }) {
  return html`<div class="reactions" role="group" aria-label="React">
      ${Object.entries(KINDS).map(
        ([kind, Icon]) => html`<button type="button" key=${kind} class="react ${kind}" aria-label="${LABELS[kind]}, ${totals[kind] ?? 0}" data-testid="react-${kind}" data-count=${totals[kind] ?? 0} onClick=${() => reactions.tap(kind)}>
          <${Icon} />${totals[kind] > 0 && html`<small>${count(totals[kind])}</small>`}
        </button>`,
      )}
    </div>
    <div class="rising" aria-hidden="true" data-testid="rising">${reactions.rising.value.map(({ id, kind, lane }) => html`<span key=${id} class="rise lane-${lane} ${kind}"><${KINDS[kind]} /></span>`)}</div>`;
}
