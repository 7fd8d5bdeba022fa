/**
 * What this account has in the show: open holds, each with its timer and the way to pay, and orders. The server's list.
 *
 * Owns: when the server is asked. A guest who has just come has nothing, and asks nothing; everybody else is asked for
 * at the start, after whatever may have changed it, when they come back to the page or the page to its socket, and when
 * a timer ends. Other tabs of the same browser hear of a change at once.
 */
import { api, sleep } from "./api.js";
import { now, tick } from "./clock.js";
import { confirm } from "./dialog.js";
import { download } from "./download.js";
import { Cross, Receipt } from "./icons.js";
import { Thumb } from "./items.js";
import { money } from "./money.js";
import { countdown, dateTime } from "./time.js";
import { toast } from "./toast.js";
import { effect, html, signal, useEffect, useRef } from "./view.js";
import { explain } from "./words.js";

const NOTHING = Object.freeze({ holds: [], orders: [], next_cursor: null });
const AGAIN_MS = 3_000;
const TRIES_MAX = 20;
/** After a timer's end, until the server has certainly seen it too. */
const LAPSED_MS = 700;

export class Mine {
  /** `known()`: true for a guest who was here before, or may have bought by a comment. */
  constructor({ show, token, purchase, known }) {
    Object.assign(this, { show, token, purchase, known });
    this.list = signal(NOTHING);
    this.open = signal(false);
    this.notice = signal("");
    this.tries = 0;
    this.acted = false;
    this.tabs = globalThis.BroadcastChannel ? new BroadcastChannel(`showfloor.mine.${show}`) : null;
    if (this.tabs) this.tabs.onmessage = () => this.refresh();
    addEventListener("pageshow", () => this.refresh());
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    this.#follow();
  }

  /** Every step of the purchase beside the video may change the list. */
  #follow() {
    const { stage, hold, order, bill } = this.purchase;
    let last = "";
    effect(() => {
      const at = [stage.value, hold.value?.hold_id, order.value?.state, bill.kept.value.length].join();
      if (last && at !== last && stage.value !== "holding") queueMicrotask(() => this.changed());
      last = at;
    });
  }

  /** Something of ours changed here: look again, and let the other tabs look too. */
  changed() {
    this.acted = true;
    this.tabs?.postMessage(null);
    return this.refresh();
  }

  /** An order came to something without our doing. */
  hearOrder({ state }) {
    if (state === "capture_failed") toast("A payment failed after all: nothing was charged. Your purchases say more.", "bad");
    return this.changed();
  }

  /** Ask the server; calls that come meanwhile are answered by one more look after this one. */
  async refresh() {
    if (!(this.acted || this.known()) || document.hidden) return;
    this.wanted = true;
    if (this.asking) return;
    this.asking = true;
    try {
      while (this.wanted) {
        this.wanted = false;
        await this.#ask();
      }
    } finally {
      this.asking = false;
    }
  }

  /** The page of orders before those shown. */
  async older() {
    await this.#attempt(async (token) => {
      const { orders, next_cursor } = await api.purchases(this.show, token, this.list.value.next_cursor);
      const shown = new Set(this.list.value.orders.map(({ order_id }) => order_id));
      const more = orders.filter(({ order_id }) => !shown.has(order_id));
      this.list.value = { ...this.list.value, orders: [...this.list.value.orders, ...more], next_cursor };
    });
  }

  /** Go on with a hold in the panel of the purchase. False while another payment is under way. */
  async pay({ hold_id }) {
    if (await this.purchase.turnTo(hold_id)) return true;
    const busy = this.purchase.stage.value !== "none";
    this.notice.value = busy ? "A moment: another purchase is under way." : "That did not work. Try again.";
    this.refresh();
    return false;
  }

  async letGo(hold) {
    const { purchase } = this;
    if (purchase.hold.value?.hold_id === hold.hold_id && purchase.stage.value === "held") await purchase.release();
    else if (purchase.bill.has(hold)) await purchase.bill.letGo(hold);
    else await this.#attempt((token) => api.release(hold.hold_id, token));
    await this.changed();
  }

  async cancel({ order_id }) {
    await this.#attempt(async (token) => {
      const order = await api.cancelOrder(order_id, token);
      if (this.purchase.order.value?.order_id === order_id) this.purchase.order.value = order;
    }, { conflict: "too_late_to_cancel" });
    await this.changed();
  }

  receipt({ order_id }) {
    return this.#attempt((token) => download(api.receipt(order_id), token, `receipt-${order_id}.json`));
  }

  async #attempt(act, instead = {}) {
    this.notice.value = "";
    try {
      await act(await this.token());
    } catch (problem) {
      this.notice.value = explain(instead[problem.code] ? { code: instead[problem.code] } : problem);
    }
  }

  async #ask() {
    const { hold, stage } = this.purchase;
    const atHand = stage.value === "held" ? hold.value.hold_id : null;
    const kept = this.purchase.bill.kept.value;
    try {
      this.list.value = await api.purchases(this.show, await this.token());
    } catch (problem) {
      if (problem.status >= 400 && problem.status < 500 && problem.status !== 429) return;
      this.#later(AGAIN_MS);
      return;
    }
    const open = new Set(this.list.value.holds.filter(({ state }) => state === "held").flatMap((each) => each.bundle?.hold_ids ?? [each.hold_id]));
    // Paid for or let go in another tab: what this page still offers to pay for is looked at again.
    if (atHand && !open.has(atHand)) await this.purchase.recheck(atHand);
    this.purchase.bill.drop(kept.filter(({ hold_id }) => !open.has(hold_id)));
    this.#schedule();
  }

  /** Look again when the first timer ends, and soon while a payment or the taking of its money is under way. */
  #schedule() {
    const { holds, orders } = this.list.value;
    const underWay = holds.some(({ state }) => state === "paying") || orders.some(({ state }) => state === "paid");
    this.tries = underWay ? this.tries + 1 : 0;
    const ends = Math.min(...holds.filter(({ state }) => state === "held").map((hold) => hold.expires_at_ms));
    const soon = underWay && this.tries <= TRIES_MAX ? AGAIN_MS : Infinity;
    this.#later(Math.min(soon, Math.max(ends - now(), 0) + LAPSED_MS));
  }

  #later(ms) {
    clearTimeout(this.timer);
    if (Number.isFinite(ms)) this.timer = setTimeout(() => this.refresh(), ms);
  }
}

/** After a lost connection a whole audience comes back at once: each waits for a moment of its own. */
const SPREAD_MS = 2_000;

/** Looks again whenever the socket is open again: what was said to us meanwhile, it has not repeated. */
export function followSocket(mine, status) {
  let wasOpen = false;
  effect(() => {
    if (status.value !== "open") return;
    if (wasOpen) sleep(Math.random() * SPREAD_MS).then(() => mine.refresh());
    wasOpen = true;
  });
}

const STATES = {
  paid: "Paid",
  captured: "Paid",
  capture_failed: "The payment failed: nothing was charged, and the item went back on sale",
  cancelled: "Cancelled, nothing was charged",
  refunded: "Refunded in full",
};
const VOID = new Set(["capture_failed", "cancelled"]);

/** How an order stands, in words. */
export function orderWords({ state, refunded }) {
  return state === "partially_refunded" ? `Paid, ${money(refunded)} refunded` : (STATES[state] ?? state);
}

/** What is in an order, each bundle once. */
export function partsOf(order) {
  const lines = order.lines?.length ? order.lines : [order];
  return [...new Map(lines.map((line) => [line.bundle_id ?? line.hold_id, line])).values()];
}

/** The entry beside the chat: shown once there is something; its number is what waits to be paid for, else the orders. */
export function MineButton({ mine }) {
  const { holds, orders } = mine.list.value;
  if (holds.length + orders.length === 0) return null;
  const words = [holds.length && `${holds.length} to pay for`, orders.length && `${orders.length} ${orders.length === 1 ? "order" : "orders"}`];
  return html`<button type="button" class="bag mine ${holds.length ? "due" : ""}" aria-haspopup="dialog" aria-label="Your purchases: ${words.filter(Boolean).join(", ")}" data-testid="mine" onClick=${() => (mine.open.value = true)}>
    <${Receipt} /><span>${holds.length || orders.length}</span>
  </button>`;
}

/** A sheet on a phone, a panel at the side on a desktop. */
export function MineDrawer({ mine, items }) {
  const dialog = useRef();
  useEffect(() => {
    mine.notice.value = "";
    dialog.current.showModal();
    mine.refresh();
  }, []);
  // Closed by the browser, so that the focus goes back to where it came from.
  const close = () => dialog.current?.close();
  const { holds, orders, next_cursor } = mine.list.value;
  const find = ({ bundle_id, variant_id }) => items.find((each) => each.variant_id === (bundle_id ?? variant_id));
  return html`<dialog ref=${dialog} class="drawer" aria-labelledby="mine-title" data-testid="mine-drawer" onClose=${() => (mine.open.value = false)} onClick=${(event) => event.target === dialog.current && close()}>
    <div class="inside">
      <header><h2 id="mine-title">Your purchases</h2><button type="button" class="plain" aria-label="Close" data-testid="mine-close" onClick=${close}><${Cross} /></button></header>
      <p class="notice" role="alert" data-testid="mine-notice">${mine.notice.value}</p>
      ${holds.length + orders.length === 0 && html`<p class="muted" data-testid="mine-empty">Nothing here at the moment.</p>`}
      ${holds.length > 0 && html`<h3>Held for you</h3>
        <ul class="rows" data-testid="mine-holds">${holds.map((hold) => html`<${HoldRow} key=${hold.hold_id} ...${{ hold, mine, find, close }} />`)}</ul>`}
      ${orders.length > 0 && html`<h3>Orders</h3>
        <ul class="rows" data-testid="mine-orders">${orders.map((order) => html`<${OrderRow} key=${order.order_id} ...${{ order, mine, find }} />`)}</ul>`}
      ${next_cursor && html`<button type="button" class="quiet" data-testid="mine-older" onClick=${() => mine.older()}>Older orders</button>`}
    </div>
  </dialog>`;
}

const titleOf = (item, { variant_id }) => (item ? `${item.title}${item.option && ` ${item.option}`}` : variant_id);
const times = ({ quantity, bundle_id }) => (quantity > 1 && !bundle_id ? ` × ${quantity}` : "");

function HoldRow({ hold, mine, find, close }) {
  const item = find(hold);
  const title = titleOf(item, hold);
  const paying = hold.state === "paying";
  const left = Math.min(hold.expires_at_ms - tick.value, hold.expires_at_ms - hold.created_at_ms);
  const pay = async () => {
    if (await mine.pay(hold)) close();
  };
  return html`<li class="row" data-testid="mine-hold-${hold.hold_id}">
    ${item && html`<${Thumb} item=${item} />`}
    <div class="about">
      <span class="name">${title}${times(hold)}</span>
      <span class="line"><span class="price">${money((hold.bundle ?? hold).total)}</span>
        ${paying ? html`<span role="status">Being paid for</span>` : html`<span class="timer ${left <= 30_000 ? "late" : ""}" role="timer">${countdown(left)}</span>`}</span>
    </div>
    <span class="acts">
      <button type="button" class="buy" aria-label="${paying ? "See the payment of" : "Pay for"} ${title}" data-testid="mine-pay" onClick=${pay}>${paying ? "See" : "Pay"}</button>
      ${!paying && html`<button type="button" class="link" aria-label="Let ${title} go" data-testid="mine-release" onClick=${() => mine.letGo(hold)}>Let it go</button>`}
    </span>
  </li>`;
}

function OrderRow({ order, mine, find }) {
  const lines = partsOf(order);
  const item = find(lines[0]);
  const ask = async () => {
    const text = "Nothing is charged, and the item goes back on sale.";
    if (await confirm({ title: "Cancel this order?", text, action: "Cancel the order", back: "Keep it" })) await mine.cancel(order);
  };
  return html`<li class="row" data-testid="mine-order-${order.order_id}">
    ${item && html`<${Thumb} item=${item} />`}
    <div class="about">
      <span class="name">${lines.map((line) => `${titleOf(find(line), line)}${times(line)}`).join(", ")}</span>
      <span class="line"><span class="price">${money(order.total)}</span><span data-testid="mine-state">${orderWords(order)}</span></span>
      <span class="fine"><time datetime=${new Date(order.created_at_ms).toISOString()}>${dateTime(order.created_at_ms)}</time> <code>${order.order_id}</code></span>
      <span class="line">
        ${!VOID.has(order.state) && html`<button type="button" class="link" aria-label="Download the receipt of order ${order.order_id}" data-testid="mine-receipt" onClick=${() => mine.receipt(order)}>Receipt</button>`}
        ${order.state === "paid" && html`<button type="button" class="link" aria-label="Cancel order ${order.order_id}" data-testid="mine-cancel" onClick=${ask}>Cancel the order</button>`}
      </span>
    </div>
  </li>`;
}
