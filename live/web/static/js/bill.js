/**
 * What a purchase costs in all: the hold at hand, those kept aside, the coupon, and where it goes to.
 *
 * Owns: the holds kept aside (over a reload too), and the choice of country, method and coupon. The amounts are the
 * server's: a quote is asked for whenever something changes, and paid is the total that it said, or nothing.
 * Invariant: nothing is paid for while what is shown is not the whole: `ready` is false until the quote has come.
 */
import { api, isPassing, Problem, sleep } from "./api.js";
import { tick } from "./clock.js";
import { Cross } from "./icons.js";
import { money } from "./money.js";
import { couponWords } from "./offers.js";
import { saved } from "./session.js";
import { countdown } from "./time.js";
import { batch, effect, html, signal } from "./view.js";
import { explain } from "./words.js";

const ASKS_MAX = 8;
const ASK_BASE_MS = 500;
const ASK_CAP_MS = 8_000;

const REFUSALS = {
  coupon_unknown: "There is no such coupon.",
  coupon_over: "This coupon is not valid now.",
  coupon_minimum: "This coupon needs a larger order.",
  coupon_used_up: "This coupon has been used up.",
  coupon_used: "You have used this coupon.",
};

export class Bill {
  /** `hold`: a signal of the hold at hand; `pinned()`: the coupon that the show offers, null: none, undefined: not known. */
  constructor({ show, token, hold, pinned = () => null }) {
    Object.assign(this, { show, token, hold, pinned });
    this.store = saved(`showfloor.basket.${show}`);
    this.kept = signal([]);
    this.unseen = []; // what was kept before, of which the server has not said yet what became
    this.charges = signal(null);
    this.country = signal(null);
    this.method = signal(null);
    this.typed = signal("");
    this.quote = signal(null);
    /** True where the total shown is the whole of what is to be paid. */
    this.ready = signal(false);
    /** Why it is not, in words; `stuck` once it is not asked for any more by itself. */
    this.problem = signal("");
    this.stuck = signal(false);
    this.asked = 0;
    this.wanted = "";
    effect(() => this.#follow());
  }

  /** Get back what was kept aside before a reload, and the show's rates. */
  async resume() {
    const rates = this.#askRates();
    await this.token(); // without one nothing is asked, and nothing forgotten
    this.unseen = this.store.get() ?? [];
    const found = await Promise.all(this.unseen.map((id) => this.find(id)));
    this.unseen = this.unseen.filter((_, index) => found[index] === undefined);
    found.filter((hold) => hold?.state === "held" && hold.hold_id !== this.hold.value?.hold_id).forEach((hold) => this.keep(hold));
    await rates;
  }

  /** Set a hold aside, so that another can be taken; twice is once. */
  keep(hold) {
    this.#keep([...this.#others(hold), hold]);
  }

  /** Ask once more, after it was given up. */
  again() {
    if (this.charges.value === null) this.#askRates();
    this.wanted = "";
    this.#follow();
  }

  /** A hold kept aside, usually the last one, to be paid for now with the others; null if it is not among them. */
  takeOut(holdId = this.kept.value.at(-1)?.hold_id) {
    const hold = this.kept.value.find(({ hold_id }) => hold_id === holdId) ?? null;
    if (hold) this.drop([hold]);
    return hold;
  }

  /** True for a hold that is kept aside. */
  has({ hold_id }) {
    return this.kept.value.some((each) => each.hold_id === hold_id);
  }

  /** A hold as it is now; null: not ours, undefined: no answer. */
  async find(id) {
    return api.getHold(id, await this.token()).catch(({ status }) => (status === 403 || status === 404 ? null : undefined));
  }

  /** Forget these: they are no longer ours to pay for. */
  drop(holds) {
    const gone = new Set(holds.map(({ hold_id }) => hold_id));
    if (gone.size) this.#keep(this.kept.value.filter(({ hold_id }) => !gone.has(hold_id)));
  }

  async letGo(hold) {
    this.drop([hold]);
    await api.release(hold.hold_id, await this.token()).catch(() => null); // it lapses by itself
  }

  /** After an order: what is in it is kept aside no more. What is not stays, ours and unpaid. */
  clear(order) {
    const paid = new Set([order.hold_id, ...(order.lines ?? []).map((line) => line.hold_id)]);
    this.#keep(this.kept.value.filter((hold) => !paid.has(hold.hold_id)));
    this.typed.value = "";
  }

  /** Pay for the hold at hand, by itself where nothing is added to it, else for the whole as it was quoted. */
  async pay(hold, token, key, payment_method, email = "") {
    if (!this.ready.value) throw new Problem({ status: 0, code: "not_added_up" });
    const quote = this.quote.value;
    if (!quote) return api.pay(hold.hold_id, token, key, payment_method, email);
    const body = { ...this.#request(hold), total: quote.total.amount, payment_method, ...(email && { email }) };
    if (quote.coupon_refused) delete body.coupon;
    try {
      return await api.payBasket(this.show, token, key, body);
    } catch (problem) {
      if (["price_changed", "coupon_refused", "hold_lapsed"].includes(problem.code)) await this.#renew(hold);
      throw problem;
    }
  }

  /** What is to be paid for the hold at hand and all that is added to it. */
  total(hold) {
    return this.quote.value?.total ?? hold.bundle?.total ?? hold.total;
  }

  get coupon() {
    return this.typed.value || this.pinned()?.code || null;
  }

  get #applies() {
    return this.kept.value.length > 0 || this.coupon !== null || (this.charges.value?.shipping.length ?? 0) > 0 || this.charges.value?.home_country;
  }

  #others(hold) {
    return this.kept.value.filter((each) => each.hold_id !== hold.hold_id);
  }

  #keep(holds) {
    this.kept.value = holds;
    const ids = [...holds.map(({ hold_id }) => hold_id), ...this.unseen];
    this.store.set(ids.length ? ids : null);
  }

  #request(hold) {
    const country = this.#shipsTo(this.country.value ?? this.charges.value?.home_country);
    return {
      hold_ids: [hold, ...this.#others(hold)].map(({ hold_id }) => hold_id),
      ...(country && { country }),
      ...(country && this.method.value && { shipping_method: this.method.value }),
      ...(this.coupon && { coupon: this.coupon }),
    };
  }

  #shipsTo(country) {
    return this.charges.value?.shipping.some((rate) => rate.country === country) ? country : null;
  }

  #follow() {
    const hold = this.hold.value;
    if (hold && this.kept.value.some((each) => each.hold_id === hold.hold_id)) this.#keep(this.#others(hold)); // at hand now
    const isHeld = hold !== null && hold.state === "held";
    const isKnown = this.charges.value !== null && this.pinned() !== undefined;
    const request = isHeld && isKnown && this.#applies ? this.#request(hold) : null;
    const wanted = JSON.stringify([isHeld && hold.hold_id, isKnown, request]);
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    const turn = (this.asked += 1);
    queueMicrotask(() => turn === this.asked && this.#begin(isHeld && isKnown, request, turn));
  }

  #begin(isPayable, request, turn) {
    batch(() => {
      this.ready.value = isPayable && request === null;
      if (request === null) this.quote.value = null;
      if (isPayable) this.#say("");
    });
    if (request !== null) this.#ask(request, turn);
  }

  #say(problem, stuck = false) {
    batch(() => {
      this.problem.value = problem;
      this.stuck.value = stuck;
    });
  }

  /** Ask until the server has answered, so many times at most; `turn` is over once something else is wanted. */
  async #ask(wanted, turn) {
    const quote = await this.#insist(async () => api.quote(this.show, await this.token(), wanted), () => turn === this.asked);
    if (quote === null || turn !== this.asked) return;
    batch(() => {
      this.quote.value = quote;
      this.ready.value = true;
      this.#say("");
    });
  }

  async #askRates() {
    const rates = await this.#insist(() => api.charges(this.show), () => this.charges.value === null);
    if (rates !== null) this.charges.value = rates;
  }

  /** What `get` answers; null once it was given up, or `isWanted` no more. What is in the way is said meanwhile. */
  async #insist(get, isWanted) {
    for (let tried = 1; isWanted(); tried += 1) {
      try {
        return await get();
      } catch (problem) {
        if (!isWanted()) return null;
        if (["hold_lapsed", "not_found"].includes(problem.code) && (await this.#forgetLapsed())) return null;
        const stuck = !isPassing(problem) || tried >= ASKS_MAX;
        this.#say(explain(problem.code === "not_found" ? { code: "hold_lapsed" } : problem), stuck);
        if (stuck) return null;
        await sleep(Math.max(Math.min(ASK_CAP_MS, ASK_BASE_MS * 2 ** tried) * (0.5 + Math.random() / 2), problem.retryAfterMs ?? 0));
      }
    }
    return null;
  }

  /** True if some of what was kept aside is ours no more: then something else is wanted. */
  async #forgetLapsed() {
    const asked = this.kept.value;
    const now = await Promise.all(asked.map(({ hold_id }) => this.find(hold_id)));
    const gone = new Set(asked.filter((_, index) => now[index] !== undefined && now[index]?.state !== "held"));
    if (gone.size) this.#keep(this.kept.value.filter((hold) => !gone.has(hold)));
    return gone.size > 0;
  }

  async #renew(hold) {
    this.ready.value = false;
    await this.#forgetLapsed();
    const turn = (this.asked += 1);
    await this.#ask(this.#request(hold), turn);
  }
}

function Kept({ bill, hold, nameOf }) {
  const left = hold.expires_at_ms - tick.value;
  return html`<li class="kept" data-testid="kept-${hold.hold_id}">
    <span class="name">${nameOf(hold)}${hold.quantity > 1 && !hold.bundle ? ` × ${hold.quantity}` : ""}</span>
    <span class="timer" role="timer">${countdown(left)}</span>
    <span class="price">${money((hold.bundle ?? hold).total)}</span>
    <button type="button" class="plain" aria-label="Let it go" data-testid="kept-release-${hold.hold_id}" onClick=${() => bill.letGo(hold)}><${Cross} /></button>
  </li>`;
}

function ShipTo({ bill }) {
  const rates = bill.charges.value?.shipping ?? [];
  if (rates.length === 0) return null;
  const countries = [...new Set(rates.map((rate) => rate.country))];
  const country = bill.country.value ?? bill.charges.value.home_country ?? "";
  const methods = rates.filter((rate) => rate.country === country);
  const choose = ({ target }) => {
    bill.method.value = null;
    bill.country.value = target.value;
  };
  return html`<div class="ship">
    <label>Ship to
      <select value=${country} onChange=${choose} data-testid="ship-country">${countries.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select>
    </label>
    ${methods.length > 1 &&
    html`<label>by
      <select value=${bill.quote.value?.shipping_method ?? ""} onChange=${({ target }) => (bill.method.value = target.value)} data-testid="ship-method">
        ${methods.map(({ method }) => html`<option key=${method} value=${method}>${method}</option>`)}
      </select>
    </label>`}
  </div>`;
}

function CouponField({ bill }) {
  const pinned = bill.pinned();
  const quote = bill.quote.value;
  const apply = (event) => {
    event.preventDefault();
    bill.typed.value = String(new FormData(event.target).get("coupon")).trim();
  };
  return html`<form class="coupon" onSubmit=${apply}>
    ${pinned && !bill.typed.value
      ? html`<span class="chip" data-testid="coupon-pinned"><b>${pinned.code}</b> ${couponWords(pinned)}</span>`
      : html`<input name="coupon" placeholder="Coupon" aria-label="Coupon" maxlength="40" autocomplete="off" value=${bill.typed.value} data-testid="coupon-input" />
          <button type="submit" class="plain" data-testid="coupon-apply">Apply</button>`}
    ${quote?.coupon_refused && html`<span class="notice" role="alert" data-testid="coupon-refused">${REFUSALS[quote.coupon_refused]}</span>`}
  </form>`;
}

/** Why nothing can be paid for at the moment. */
function Adding({ bill }) {
  if (bill.ready.value || bill.hold.value?.state !== "held") return null;
  const problem = bill.problem.value;
  if (!problem) return html`<p class="fine" role="status" data-testid="bill-adding">Adding it up…</p>`;
  return html`<p class="notice" role="alert" data-testid="bill-problem">
    We could not add up your order, so nothing can be paid yet. ${problem}${" "}
    ${bill.stuck.value ? html`<button type="button" class="link" data-testid="bill-again" onClick=${() => bill.again()}>Try again</button>` : "Trying again…"}
  </p>`;
}

/** The bill below the hold at hand; nothing where nothing is added to its price. */
export function BillView({ bill, nameOf }) {
  const quote = bill.quote.value;
  const kept = bill.kept.value;
  const rows = quote && [
    quote.discount.amount > 0 && ["Discount", "discount", `−${money(quote.discount)}`],
    quote.shipping_method && ["Shipping", "shipping", quote.shipping.amount > 0 ? money(quote.shipping) : "free"],
    ["Total", "total", money(quote.total)],
  ];
  return html`<div class="bill" data-testid="bill">
    ${kept.length > 0 && html`<ul class="kepts" data-testid="kept">${kept.map((hold) => html`<${Kept} key=${hold.hold_id} ...${{ bill, hold, nameOf }} />`)}</ul>`}
    <${Adding} bill=${bill} />
    <${ShipTo} bill=${bill} />
    ${quote && html`<${CouponField} bill=${bill} />`}
    ${quote &&
    html`<dl>
      ${rows.filter(Boolean).map(([label, name, value]) => html`<div key=${name}><dt>${label}</dt><dd data-testid="bill-${name}">${value}</dd></div>`)}
      ${quote.tax.amount > 0 && html`<div class="fine" key="tax"><dt>includes ${quote.tax_rate_bp / 100} % tax</dt><dd data-testid="bill-tax">${money(quote.tax)}</dd></div>`}
    </dl>`}
  </div>`;
}

/** What is kept aside, while one goes on watching. */
export function BasketBar({ bill, onOpen }) {
  const kept = bill.kept.value;
  if (kept.length === 0) return null;
  const left = Math.min(...kept.map((hold) => hold.expires_at_ms)) - tick.value;
  return html`<button type="button" class="basket-bar primary" data-testid="basket" onClick=${onOpen}>
    Pay for ${kept.length === 1 ? "1 item" : `${kept.length} items`} you hold <span role="timer">${countdown(left)}</span>
  </button>`;
}
