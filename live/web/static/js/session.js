/**
 * Who this page is: a guest per show, or a host or operator by a token handed over in the address.
 *
 * Owns: what the browser keeps. A guest is one for all tabs of a browser, so that closing a tab loses nothing and opening
 * one resets nothing; what a tab is in the middle of is its own, and a staff's token lives no longer than its tab.
 * Invariant: a token is never left in the address bar, the history or a log.
 */
import { api } from "./api.js";
import { now } from "./clock.js";

const RENEW_BEFORE_MS = 60_000;

/** The show of `/watch/{show}`, `/studio/{show}` or `/console/{show}`. */
export function showOfPath(pathname = location.pathname) {
  return decodeURIComponent(pathname.split("/")[2] ?? "");
}

/** JSON under a key that survives a reload of its tab and nothing more; private modes may refuse to store. */
export const saved = (key) => stored(key, () => sessionStorage);

/** The same for all tabs of the browser, until it is forgotten. */
export const kept = (key) => stored(key, () => localStorage);

function stored(key, storage) {
  return {
    get() {
      try {
        return JSON.parse(storage().getItem(key));
      } catch {
        return null;
      }
    },
    set(value) {
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, JSON.stringify(value));
      } catch {
        /* without storage the page still works until it is reloaded */
      }
    },
  };
}

const lasts = (guest) => Boolean(guest) && guest.expires_at_ms - RENEW_BEFORE_MS > now();

/**
 * A guest of one show: joins once, and again when its token has run out. Concurrent callers share one request, and of two
 * tabs that join at once the later one becomes the guest of the first.
 */
export class GuestSession {
  constructor(show) {
    this.show = show;
    this.store = kept(`showfloor.guest.${show}`);
    this.guest = this.store.get();
    this.refused = null;
    this.freshTicket = null;
  }

  get id() {
    return this.guest?.viewer_id ?? null;
  }

  async token() {
    if (lasts(this.guest)) return this.guest.viewer_token;
    return (await this.#join()).viewer_token;
  }

  /** A ticket for the socket: the one that came with joining, if unused, else another. */
  async ticket() {
    const token = await this.token();
    const fresh = this.freshTicket;
    this.freshTicket = null;
    if (fresh) return fresh;
    try {
      return (await api.ticket(this.show, token)).ticket;
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      this.forget(); // the server has new keys, or forgot this guest
      await this.token();
      return this.ticket();
    }
  }

  /** The server knows this token no more. */
  forget() {
    this.refused = this.guest?.viewer_token ?? null;
    this.guest = null;
  }

  /** Somebody else sits down at this device: nothing of this guest stays, in this tab and in the others. */
  leave() {
    try {
      for (const storage of [localStorage, sessionStorage]) {
        Object.keys(storage).filter((key) => key.startsWith("showfloor.") && key.endsWith(`.${this.show}`)).forEach((key) => storage.removeItem(key));
      }
    } finally {
      location.reload(); // where nothing may be stored, nothing was
    }
  }

  /** Calls `then` when another tab of this browser has left. */
  onLeft(then) {
    addEventListener("storage", ({ key, newValue }) => key === `showfloor.guest.${this.show}` && newValue === null && then());
  }

  /** The guest that another tab has become meanwhile, or null. */
  #elsewhere() {
    const guest = this.store.get();
    return lasts(guest) && guest.viewer_token !== this.refused ? guest : null;
  }

  async #become() {
    const before = this.#elsewhere();
    if (before) return before;
    const { ticket, ...guest } = await api.join(this.show);
    const first = this.#elsewhere();
    if (first) return first;
    this.freshTicket = ticket;
    this.store.set(guest);
    return guest;
  }

  #join() {
    this.joining ??= this.#become()
      .then((guest) => (this.guest = guest))
      .finally(() => (this.joining = null));
    return this.joining;
  }
}

/** A host or operator: the token comes once as `#token=...`, and is moved out of the address at once. */
export class StaffSession {
  constructor(show, page) {
    this.show = show;
    this.store = saved(`showfloor.${page}.${show}`);
    const handed = new URLSearchParams(location.hash.slice(1)).get("token");
    if (handed) {
      this.store.set(handed);
      history.replaceState(history.state, "", location.pathname + location.search);
    }
    this.value = handed ?? this.store.get();
  }

  /** Takes a token that was pasted. */
  accept(token) {
    this.value = token.trim();
    this.store.set(this.value);
  }

  forget() {
    this.value = null;
    this.store.set(null);
  }

  async token() {
    return this.value;
  }

  async ticket() {
    return (await api.ticket(this.show, this.value)).ticket;
  }
}
