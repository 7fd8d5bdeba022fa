/** The purchase beside the video: the hold with its timer, the ways to pay, the order. Never a page of its own. */
import { api } from "./api.js";
import { BillView } from "./bill.js";
import { tick } from "./clock.js";
import { confirm } from "./dialog.js";
import { download } from "./download.js";
import { Check, Clock } from "./icons.js";
import { Name, Thumb } from "./items.js";
import { money } from "./money.js";
import { CardForm } from "./card.js";
import { METHODS, STRIPE_KEY, TEST_NOTICE } from "./payments.js";
import { countdown } from "./time.js";
import { html, signal, useEffect, useMemo, useRef } from "./view.js";
import { explain } from "./words.js";

const SPOKEN_AT_S = [60, 30, 10];

/** Moves the focus to the panel when its stage changes, so that keyboard and screen reader follow the purchase. */
function useFocus(ref, stage) {
  useEffect(() => ref.current?.focus({ preventScroll: true }), [stage]);
}

function Timer({ hold, onLapse }) {
  // Never more than was granted, whatever the clocks say.
  const left = Math.min(hold.expires_at_ms - tick.value, hold.expires_at_ms - hold.created_at_ms);
  const lapsed = left <= 0;
  useEffect(() => {
    if (lapsed) onLapse();
  }, [lapsed]);
  const seconds = Math.ceil(left / 1000);
  return html`<span class="timer ${seconds <= 30 ? "late" : ""}">
    <${Clock} /><span role="timer" data-testid="hold-timer">${countdown(left)}</span>
    <span class="unseen" role="status">${SPOKEN_AT_S.includes(seconds) ? `${seconds} seconds left to pay` : ""}</span>
  </span>`;
}

function Bought({ hold, item }) {
  return html`<div class="bought">
    ${item && html`<${Thumb} item=${item} />`}
    <span class="about">
      ${item ? html`<${Name} item=${item} />` : hold.variant_id}
      <span class="line"><span class="price">${money(hold.total)}</span>${hold.quantity > 1 && html`<span>${hold.quantity} pieces</span>`}</span>
    </span>
  </div>`;
}

function Methods({ hold, amount, purchase, disabled }) {
  return html`<div class="methods">
      ${METHODS.map(
        ({ id, testid, label, note, primary }) => html`<button
          key=${id}
          type="button"
          class=${primary ? "primary" : "quiet"}
          disabled=${disabled}
          data-testid=${testid}
          onClick=${() => purchase.pay(id)}
        >
          ${primary ? `${label} ${amount}` : label}<small>${note}</small>
        </button>`,
      )}
    </div>
    <p class="fine">${TEST_NOTICE}</p>`;
}

/** Stripe's own form for a card, and an address for the receipt. Keyed by the hold: another amount is another form. */
function Card({ hold, amount, purchase, disabled }) {
  const place = useRef();
  const email = useRef();
  const { form, ready, problem } = useMemo(
    () => ({ form: new CardForm(STRIPE_KEY, hold.total), ready: signal(false), problem: signal("") }),
    [hold.hold_id],
  );
  const mount = async () => {
    problem.value = await form.mount(place.current);
    ready.value = !problem.value;
  };
  useEffect(() => {
    mount();
    return () => form.unmount();
  }, [form]);
  useEffect(() => form.setAmount(hold.total.amount), [form, hold.total.amount]);
  const pay = (event) => {
    event.preventDefault();
    purchase.payByCard(form, email.current.value.trim());
  };
  return html`<form class="card-form" onSubmit=${pay}>
    <div ref=${place} class="place" data-testid="card"></div>
    <label>E-mail for your receipt, if you like <input ref=${email} type="email" autocomplete="email" maxlength="254" data-testid="pay-email" /></label>
    ${problem.value && html`<p class="notice" role="alert" data-testid="card-problem">${problem.value}</p>
      <button type="button" class="quiet" data-testid="card-again" onClick=${mount}>Try again</button>`}
    <button type="submit" class="primary" disabled=${disabled || !ready.value} data-testid="pay-card">Pay ${amount}</button>
  </form>`;
}

function Held({ purchase, item, nameOf }) {
  const { bill } = purchase;
  const one = purchase.hold.value;
  const paying = purchase.stage.value === "paying";
  const total = useRef();
  if (!paying || !total.current) total.current = bill.total(one); // what is being paid does not change any more
  const hold = { ...one, total: total.current };
  const locked = paying || !bill.ready.value;
  return html`<header>
      <h2>${paying ? "Paying…" : "It's yours"}</h2>
      ${!paying && html`<${Timer} hold=${hold} onLapse=${() => purchase.lapse()} />`}
    </header>
    <${Bought} hold=${{ ...one, total: (one.bundle ?? one).total }} item=${item} />
    <${BillView} bill=${bill} nameOf=${nameOf} />
    <p class="notice" role="alert" data-testid="buy-notice">${purchase.notice.value}</p>
    <${STRIPE_KEY ? Card : Methods} key=${hold.hold_id} ...${{ hold, purchase }} amount=${paying || bill.ready.value ? money(hold.total) : ""} disabled=${locked} />
    <button type="button" class="link" disabled=${paying} data-testid="release" onClick=${() => purchase.release()}>Let it go</button>
    <button type="button" class="link" disabled=${paying} data-testid="keep" onClick=${() => purchase.keep()}>Keep it and add more</button>`;
}

function Confirming({ purchase, item }) {
  return html`<header><h2 role="status" data-testid="confirming">Confirming…</h2></header>
    <${Bought} hold=${purchase.hold.value} item=${item} />
    <p>You tapped in time. We are making sure of it; nothing is charged before it is yours. This takes a minute at most.</p>
    <p class="notice" role="alert" data-testid="buy-notice">${purchase.notice.value}</p>
    <button type="button" class="link" data-testid="release" onClick=${() => purchase.release()}>Let it go</button>`;
}

/** The signed receipt as a file; whoever has it can check the shop's books. */
function Receipt({ purchase, order }) {
  const save = async () => {
    try {
      await download(api.receipt(order.order_id), await purchase.token(), `receipt-${order.order_id}.json`);
    } catch (problem) {
      purchase.notice.value = explain(problem);
    }
  };
  return html`<p class="receipt">
    <button type="button" class="link" data-testid="receipt" onClick=${save}>Download the receipt</button>
    <a class="link" href="/audit/${encodeURIComponent(purchase.show)}" target="_blank" rel="noopener">Check the shop's books</a>
  </p>
  ${purchase.notice.value && html`<p class="notice" role="alert">${purchase.notice.value}</p>`}`;
}

/** The way back, as long as the money has not been taken. */
function Cancel({ purchase }) {
  const ask = async () => {
    const text = "Nothing is charged, and the item goes back on sale.";
    const sure = await confirm({ title: "Cancel this order?", text, action: "Cancel the order", back: "Keep it" });
    if (sure) await purchase.cancel();
  };
  return html`<button type="button" class="link" data-testid="order-cancel" onClick=${ask}>Cancel the order</button>`;
}

/** The provider did not let go of the money after all: the order ended without the buyer's doing. */
function Failed({ purchase, item, nameOf }) {
  return html`<header><h2 class="bad" role="alert" data-testid="order-failed">Payment failed</h2></header>
    <${Contents} ...${{ order: purchase.order.value, item, nameOf }} />
    <p>Your bank did not hand over the money, so this order was ended. Nothing was charged, and what was in it went back on sale. Buy it again if you still want it.</p>
    <p>Order number <code data-testid="order-id">${purchase.order.value.order_id}</code></p>
    <button type="button" class="primary" data-testid="order-close" onClick=${() => purchase.dismiss()}>Back to the show</button>`;
}

function Cancelled({ purchase, item, nameOf }) {
  return html`<header><h2 role="status" data-testid="order-cancelled">Order cancelled</h2></header>
    <${Contents} ...${{ order: purchase.order.value, item, nameOf }} />
    <p>Nothing was charged. Order number <code data-testid="order-id">${purchase.order.value.order_id}</code></p>
    <button type="button" class="primary" data-testid="order-close" onClick=${() => purchase.dismiss()}>Back to the show</button>`;
}

/** What is in an order: one thing with its picture, or a list. */
function Contents({ order, item, nameOf }) {
  const bundles = new Set((order.lines ?? []).map((line) => line.bundle_id ?? line.hold_id));
  if (bundles.size < 2) return html`<${Bought} hold=${order} item=${item} />`;
  return html`<ul class="kepts" data-testid="order-lines">
      ${order.lines.map((line) => html`<li key=${line.hold_id} class="kept"><span class="name">${nameOf(line)}</span><span class="price">${money(line.total)}</span></li>`)}
    </ul>
    <p>Total <b class="price">${money(order.total)}</b></p>`;
}

function Done({ purchase, item, nameOf }) {
  const order = purchase.order.value;
  if (order.state === "capture_failed") return html`<${Failed} ...${{ purchase, item, nameOf }} />`;
  if (order.state === "cancelled") return html`<${Cancelled} ...${{ purchase, item, nameOf }} />`;
  return html`<header><h2><${Check} /> Order confirmed</h2></header>
    <${Contents} ...${{ order, item, nameOf }} />
    <p>Order number <code data-testid="order-id">${order.order_id}</code></p>
    <${Receipt} purchase=${purchase} order=${order} />
    ${purchase.cancellable.value && html`<${Cancel} purchase=${purchase} />`}
    <button type="button" class="primary" data-testid="order-close" onClick=${() => purchase.dismiss()}>Back to the show</button>`;
}

function Lapsed({ purchase }) {
  return html`<header><h2>${purchase.hold.value ? "Time is up" : "Not confirmed"}</h2></header>
    <p data-testid="buy-notice">${purchase.notice.value}</p>
    <button type="button" class="primary" data-testid="lapsed-close" onClick=${() => purchase.dismiss()}>Back to the show</button>`;
}

const PANELS = { confirming: Confirming, held: Held, paying: Held, done: Done, lapsed: Lapsed };

/** Shown in place of the pinned items while a purchase is under way. */
export function BuyPanel({ purchase, items }) {
  const panel = useRef();
  const stage = purchase.stage.value;
  useFocus(panel, stage);
  const find = ({ bundle_id, variant_id }) => items.find((each) => each.variant_id === (bundle_id ?? variant_id));
  const nameOf = (hold) => find(hold)?.title ?? hold.variant_id;
  const at = purchase.order.value ?? purchase.hold.value;
  const item = at && find(at.lines?.[0] ?? at);
  return html`<section ref=${panel} class="purchase ${stage}" tabindex="-1" aria-label="Your purchase" data-testid="purchase">
    <${PANELS[stage]} purchase=${purchase} item=${item} nameOf=${nameOf} />
  </section>`;
}

/** True while the panel has something to say. */
export function isOpen(purchase) {
  return purchase.stage.value in PANELS && (purchase.hold.value !== null || purchase.stage.value === "lapsed");
}
