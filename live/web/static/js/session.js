/**
 * Who this page is: a guest per show, or a host or operator by a token handed over in the address.
 *
 * Owns: what is kept in sessionStorage. Invariant: a token is never left in the address bar, the history or a log.
 */
import { api } from "./api.js";
import { now } from "./clock.js";

const RENEW_BEFORE_MS = 60_000;

/** The show of `/watch/{show}`, `/studio/{show}` or `/console/{show}`. */
export function showOfPath(pathname = location.pathname) {
  return decodeURIComponent(pathname.split("/")[2] ?? "");
}

/** JSON under a key of sessionStorage that survives a reload and nothing more; private modes may refuse to store. */
export function saved(key) {
  return {
    get() {
      try {
        return JSON.parse(sessionStorage.getItem(key));
      } catch {
        return null;
      }
    },
    set(value) {
      try {
        if (value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, JSON.stringify(value));
      } catch {
        /* without storage the page still works until it is reloaded */
      }
    },
  };
}

/** A guest of one show: joins once, and again when its token has run out. Concurrent callers share one request. */
export class GuestSession {
  constructor(show) {
    this.show = show;
    this.store = saved(`showfloor.guest.${show}`);
    this.guest = this.store.get();
    this.freshTicket = null;
  }

  get id() {
    return this.guest?.viewer_id ?? null;
  }

  async token() {
    if (this.guest && this.guest.expires_at_ms - RENEW_BEFORE_MS > now()) return this.guest.viewer_token;
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

  forget() {
    this.guest = null;
    this.store.set(null);
  }

  #join() {
    this.joining ??= api
      .join(this.show)
      .then((guest) => {
        const { ticket, ...rest } = guest;
        this.freshTicket = ticket;
        this.guest = rest;
        this.store.set(rest);
        return rest;
      })
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
