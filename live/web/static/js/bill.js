/**
 * What a purchase costs in all: the hold at hand, those kept aside, the coupon, and where it goes to.
 *
 * Owns: the holds kept aside (over a reload too), and the choice of country, method and coupon. The amounts are the
 * server's: a quote is asked for whenever something changes, and paid is the total that it said, or nothing.
 */
import { api } from "./api.js";
import { tick } from "./clock.js";
import { Cross } from "./icons.js";
import { money } from "./money.js";
import { couponWords } from "./offers.js";
import { saved } from "./session.js";
import { countdown } from "./time.js";
import { effect, html, signal } from "./view.js";

const REFUSALS = {
  coupon_unknown: "There is no such coupon.",
  coupon_over: "This coupon is not valid now.",
  coupon_minimum: "This coupon needs a larger order.",
  coupon_used_up: "This coupon has been used up.",
  coupon_used: "You have used this coupon.",
};

export class Bill {
  /** `hold` is a signal of the hold at hand; `pinned()` the coupon that the show offers, or null. */
  constructor({ show, token, hold, pinned = () => null }) {
    Object.assign(this, { show, token, hold, pinned });
    this.store = saved(`showfloor.basket.${show}`);
    this.kept = signal([]);
    this.charges = signal(null);
    this.country = signal(null);
    this.method = signal(null);
    this.typed = signal("");
    this.quote = signal(null);
    this.problem = signal("");
    this.asked = 0;
    effect(() => this.#follow());
  }

  /** Get back what was kept aside before a reload, and the show's rates. */
  async resume() {
    const rates = api.charges(this.show).catch(() => null);
    const token = await this.token();
    const holds = await Promise.all((this.store.get() ?? []).map((id) => api.getHold(id, token).catch(() => null)));
    this.#keep(holds.filter((hold) => hold?.state === "held"));
    this.charges.value = await rates;
  }

  /** Set a hold aside, so that another can be taken. */
  keep(hold) {
    this.#keep([...this.kept.value, hold]);
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

  /** Forget these: they are no longer ours to pay for. */
  drop(holds) {
    const gone = new Set(holds.map(({ hold_id }) => hold_id));
    if (gone.size) this.#keep(this.kept.value.filter(({ hold_id }) => !gone.has(hold_id)));
  }

  async letGo(hold) {
    this.drop([hold]);
    await api.release(hold.hold_id, await this.token()).catch(() => null); // it lapses by itself
  }

  /** After an order: everything kept aside is in it. */
  clear() {
    this.#keep([]);
    this.typed.value = "";
  }

  /** Pay for the hold at hand, by itself where nothing is added to it, else for the whole as it was quoted. */
  async pay(hold, token, key, payment_method, email = "") {
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

  #keep(holds) {
    this.kept.value = holds;
    this.store.set(holds.length ? holds.map(({ hold_id }) => hold_id) : null);
  }

  #request(hold) {
    const country = this.#shipsTo(this.country.value ?? this.charges.value?.home_country);
    return {
      hold_ids: [hold, ...this.kept.value].map(({ hold_id }) => hold_id),
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
    const wanted = hold && hold.state === "held" && this.#applies ? this.#request(hold) : null;
    const turn = (this.asked += 1);
    if (wanted === null) this.quote.value = null;
    else queueMicrotask(() => this.#ask(wanted, turn));
  }

  async #ask(wanted, turn) {
    try {
      const quote = await api.quote(this.show, await this.token(), wanted);
      if (turn === this.asked) this.quote.value = quote;
    } catch (problem) {
      if (turn !== this.asked) return;
      this.quote.value = null;
      this.problem.value = problem.detail ?? "";
      if (problem.code === "hold_lapsed" || problem.code === "not_found") await this.#forgetLapsed();
    }
  }

  async #forgetLapsed() {
    const token = await this.token();
    const now = await Promise.all(this.kept.value.map((hold) => api.getHold(hold.hold_id, token).catch(() => null)));
    const alive = now.filter((hold) => hold?.state === "held");
    if (alive.length < this.kept.value.length) this.#keep(alive);
  }

  async #renew(hold) {
    await this.#forgetLapsed();
    await this.#ask(this.#request(hold), (this.asked += 1));
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
