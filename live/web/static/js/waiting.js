/**
 * This viewer's places in the lines for what is sold out.
 *
 * Owns: at most one place a variant, kept by the browser for all its tabs. A place that became a hold is told in private
 * (`hear`); as such a word may be lost, the server is asked too, now and then and after a gap. The hold goes to
 * `onOffer`, and the place stays until that has taken it.
 */
import { api } from "./api.js";
import { kept } from "./session.js";
import { signal } from "./view.js";

const ASK_MS = 30_000;
const GAP_MS = 5_000; // a crowd that comes back together does not ask together

export class Waiting {
  /** `onOffer(hold_id)` answers true once it has taken the hold. */
  constructor({ show, token, onOffer, onPassed = () => {} }) {
    Object.assign(this, { show, token, onOffer, onPassed });
    this.store = kept(`showfloor.waiting.${show}`);
    this.places = signal(this.store.get() ?? {});
    this.taking = new Set();
    if (this.#any()) this.#ask();
  }

  /** Joins the line. Raises the Problem; `conflict` means that there is stock after all. */
  async join(variant, quantity = 1) {
    const place = await api.wait(this.show, await this.token(), variant, quantity);
    this.#keep(variant, place);
    this.#later();
  }

  async leave(variant) {
    const place = this.places.value[variant];
    this.#keep(variant, null);
    if (place) await api.leaveLine(place.entry_id, await this.token());
  }

  /** The private event `offer`: our turn has come. */
  hear({ variant_id: variant, hold_id: hold }) {
    if (this.places.value[variant]) this.#take(variant, hold);
  }

  /** Something private may have been missed: the connection was away. */
  soon() {
    if (this.#any()) this.#later(Math.random() * GAP_MS);
  }

  #any() {
    return Object.keys(this.places.value).length > 0;
  }

  #keep(variant, place) {
    this.places.value = changed(this.places.value, variant, place);
    const stored = changed(this.store.get() ?? {}, variant, place); // other tabs keep theirs there, too
    this.store.set(Object.keys(stored).length ? stored : null);
  }

  #later(ms = ASK_MS * (0.8 + Math.random() * 0.4)) {
    clearTimeout(this.timer);
    if (this.#any()) this.timer = setTimeout(() => this.#ask(), ms);
  }

  async #ask() {
    this.#later(); // first: what is not taken is asked for sooner
    for (const [variant, { entry_id }] of Object.entries(this.places.value)) {
      try {
        await this.#stand(variant, await api.place(entry_id, await this.token()));
      } catch (problem) {
        if (problem.status === 403 || problem.status === 404) this.#keep(variant, null);
      }
    }
  }

  async #stand(variant, place) {
    if (this.places.value[variant]?.entry_id !== place.entry_id) return; // left meanwhile
    if (place.state === "waiting") this.#keep(variant, place);
    else if (place.state === "offered") await this.#take(variant, place.hold_id);
    else {
      this.#keep(variant, null);
      if (place.state === "passed") this.onPassed(variant);
    }
  }

  async #take(variant, hold) {
    if (this.taking.has(hold)) return;
    this.taking.add(hold);
    try {
      if (await this.onOffer(hold)) this.#keep(variant, null);
      else this.soon();
    } finally {
      this.taking.delete(hold);
    }
  }
}

function changed(places, variant, place) {
  const { [variant]: _, ...others } = places;
  return place ? { ...others, [variant]: place } : others;
}
