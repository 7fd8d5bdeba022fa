/**
 * This viewer's places in the lines for what is sold out.
 *
 * Owns: at most one place a variant, kept over a reload. While there is one, the server is asked every few seconds; a
 * place that became a hold goes to `onOffer`, and stays until that has taken it: one may be paying for something else.
 */
import { api } from "./api.js";
import { saved } from "./session.js";
import { signal } from "./view.js";

const ASK_MS = 3_000;

export class Waiting {
  /** `onOffer(hold_id)` answers true once it has taken the hold. */
  constructor({ show, token, onOffer, onPassed = () => {} }) {
    Object.assign(this, { show, token, onOffer, onPassed });
    this.store = saved(`showfloor.waiting.${show}`);
    this.places = signal(this.store.get() ?? {});
    if (Object.keys(this.places.value).length) this.#ask();
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

  #keep(variant, place) {
    const { [variant]: _, ...others } = this.places.value;
    this.places.value = place ? { ...others, [variant]: place } : others;
    this.store.set(Object.keys(this.places.value).length ? this.places.value : null);
  }

  #later() {
    clearTimeout(this.timer);
    if (Object.keys(this.places.value).length) this.timer = setTimeout(() => this.#ask(), ASK_MS * (0.8 + Math.random() * 0.4));
  }

  async #ask() {
    for (const [variant, { entry_id }] of Object.entries(this.places.value)) {
      try {
        await this.#stand(variant, await api.place(entry_id, await this.token()));
      } catch (problem) {
        if (problem.status === 403 || problem.status === 404) this.#keep(variant, null);
      }
    }
    this.#later();
  }

  async #stand(variant, place) {
    if (this.places.value[variant]?.entry_id !== place.entry_id) return; // left meanwhile
    if (place.state === "waiting") return this.#keep(variant, place);
    if (place.state === "offered" && !(await this.onOffer(place.hold_id))) return undefined;
    this.#keep(variant, null);
    if (place.state === "passed") this.onPassed(variant);
    return undefined;
  }
}
