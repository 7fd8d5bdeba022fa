/** The console: the operator's stock board, orders, open holds, money, moderation, and the switches. */
import { AccessPanel } from "./access.js";
import { api, intent } from "./api.js";
import { ChatForm, ChatList, Voice } from "./chat.js";
import { tick } from "./clock.js";
import { confirm, Questions } from "./dialog.js";
import { Pin } from "./icons.js";
import { Name } from "./items.js";
import { mediaPanel } from "./media.js";
import { Moderator, moderationPanel, slowMode } from "./moderation.js";
import { startModerating } from "./moderator.js";
import { decimal, digits, minorUnits, money } from "./money.js";
import { providerPanel } from "./provider.js";
import { PriceTag } from "./offers.js";
import { LowStock } from "./low.js";
import { auditPanel, FilesPanel, priceErrorPanel } from "./office.js";
import { audiencePanel } from "./podium.js";
import { joinRoom } from "./room.js";
import { showOfPath, StaffSession } from "./session.js";
import { attempt, claimedRole, gateWords, isForOneShow, isLockedOut, TokenGate, TopBar } from "./staff.js";
import { StockButton, StockForms } from "./stockroom.js";
import { SwitchNotes, switches } from "./switches.js";
import { countdown, timeOfDay } from "./time.js";
import { toast, Toasts } from "./toast.js";
import { html, render, signal, useRef } from "./view.js";
import { explain } from "./words.js";

const REFETCH_MS = 400;
const QUICK_RESTOCK = 10;
const COLUMNS = ["on_hand", "held", "sold", "available"];
const HEADINGS = { on_hand: "On hand", held: "Held", sold: "Sold", available: "Available" };
const ORDER_WORDS = {
  paid: "Paid",
  captured: "Paid",
  capture_failed: "Capture failed",
  cancelled: "Cancelled",
  partially_refunded: "Partly refunded",
  refunded: "Refunded",
};

const showId = showOfPath();
const session = new StaffSession(showId, "console");
const root = document.getElementById("app");
const role = claimedRole(session.value);
/** An analyst reads; the server refuses whatever else would be tried. */
const acts = role !== "analyst";
/** Access is given by admins of all shows. */
const givesAccess = role === "admin" && !isForOneShow(session.value);

function start() {
  const token = () => session.token();
  const orders = signal(null);
  const moreOrders = signal(null);
  const holds = signal([]);
  const totals = signal(null);
  const low = new LowStock();
  const { store, socket, status, problem, refuse } = joinRoom({ show: showId, session, onFrame: noticeStock });
  const voice = new Voice({ show: showId, token, socket });

  const MediaPanel = mediaPanel({ show: showId, token });
  const { ModerationPanel, refetch: refetchSanctions } = moderationPanel({ show: showId, token });
  const moderator = new Moderator({ show: showId, token, onChange: refetchSanctions });
  const { AudiencePanel } = audiencePanel({ show: showId, token, store, onAir: () => false });
  const SlowMode = slowMode({ show: showId, token, store });
  const Switches = switches({ show: showId, token, store });
  const ProviderPanel = acts ? providerPanel({ show: showId, token }) : () => null; // it asks from the beginning
  const AuditPanel = auditPanel({ show: showId, token });
  const PriceErrorPanel = priceErrorPanel({ show: showId, token, items: store.items, titleOf: (variant) => titleOf(variant) });

  let refetching = null;

  /** Stock that moves means that a hold or an order did: ask once for all that happens within a moment. */
  function noticeStock(frame) {
    low.notice(frame, titleOf, (variant) => frame.st?.[`stock.${variant}`]?.available ?? store.stock.value[variant]?.available ?? "few");
    if (frame.snapshot || Object.keys(frame.st ?? {}).some((key) => key.startsWith("stock."))) refetchSoon();
  }

  function refetchSoon() {
    refetching ??= setTimeout(async () => {
      refetching = null;
      await refetch();
    }, REFETCH_MS);
  }

  async function refetch() {
    try {
      const bearer = await token();
      const [page, open, sums] = await Promise.all([api.orders(showId, bearer), api.holds(showId, bearer), api.totals(showId, bearer)]);
      const fresh = new Set(page.items.map(({ order_id: id }) => id));
      const older = (orders.value ?? []).filter(({ order_id: id }) => !fresh.has(id));
      if (older.length === 0) moreOrders.value = page.next_cursor;
      orders.value = [...page.items, ...older];
      holds.value = open.items;
      totals.value = sums;
    } catch (refused) {
      if (isLockedOut(refused)) refuse(refused);
      else toast(explain(refused), "bad");
    }
  }

  const loadOlder = () =>
    attempt(async () => {
      const page = await api.orders(showId, await token(), moreOrders.value);
      orders.value = [...orders.value, ...page.items];
      moreOrders.value = page.next_cursor;
    });

  function Totals() {
    if (totals.value === null) return null;
    const { orders: count, paid, refunded, net } = totals.value;
    const figures = [
      ["Orders", "orders", count],
      ["Paid", "paid", money(paid)],
      ["Refunded", "refunded", money(refunded)],
      ["Net", "net", money(net)],
    ];
    return html`<dl class="totals panel">
      ${figures.map(([label, name, value]) => html`<div key=${name}><dt>${label}</dt><dd data-testid="total-${name}">${value}</dd></div>`)}
    </dl>`;
  }

  function Restock({ item }) {
    const field = useRef();
    const { variant_id: variant } = item;
    const add = (quantity) =>
      attempt(async () => {
        await api.restock(showId, await token(), intent(), variant, quantity);
        toast(`${quantity} added: ${item.title} ${item.option}`);
      });
    const custom = (event) => {
      event.preventDefault();
      const quantity = Number(field.current.value);
      if (Number.isInteger(quantity) && quantity > 0) add(quantity).then(() => (field.current.value = ""));
    };
    return html`<form class="restock" onSubmit=${custom}>
      <button type="button" class="quiet" aria-label="Add ${QUICK_RESTOCK} to ${item.title} ${item.option}" data-testid="restock-${variant}" onClick=${() => add(QUICK_RESTOCK)}>+${QUICK_RESTOCK}</button>
      <input ref=${field} type="number" min="1" max="1000000" step="1" inputmode="numeric" placeholder="units" aria-label="Units to add to ${item.title} ${item.option}" data-testid="restock-input-${variant}" />
      <button type="submit" class="plain" aria-label="Add these units to ${item.title} ${item.option}" data-testid="restock-custom-${variant}">Add</button>
    </form>`;
  }

  function PinSwitch({ item }) {
    const { variant_id: variant } = item;
    const pinned = store.pins.value.includes(variant);
    const toggle = () => attempt(async () => (pinned ? api.unpin : api.pin)(showId, await token(), variant));
    return html`<button type="button" class="plain pin ${pinned ? "on" : ""}" aria-pressed=${pinned} aria-label="Pin ${item.title} ${item.option}" data-testid="${pinned ? "unpin" : "pin"}-${variant}" onClick=${toggle}><${Pin} /></button>`;
  }

  function BoardRow({ item }) {
    const { variant_id: variant } = item;
    const stock = store.stock.value[variant] ?? item.stock;
    return html`<tr class=${stock.available === 0 ? "gone" : stock.available <= 5 ? "few" : ""}>
      <th scope="row"><span class="item-head">${acts && html`<${PinSwitch} item=${item} />`}<${Name} item=${item} numbered /><span class="muted"><${PriceTag} item=${item} /></span>${low.isLow(variant) && html`<span class="low-note" data-testid="low-${variant}">low</span>`}</span></th>
      ${COLUMNS.map((column) => html`<td key=${column} data-label=${HEADINGS[column]} data-testid="board-${variant}-${column}">${stock[column]}</td>`)}
      <td class="act">${acts && html`<span class="stock-acts"><${Restock} item=${item} /><${StockButton} item=${item} /></span>`}</td>
    </tr>
    ${acts && html`<${StockForms} ...${{ show: showId, token, item, stock, columns: COLUMNS.length + 2 }} />`}`;
  }

  /** A bundle has no stock of its own: as many as its scarcest part allows. */
  function BundleRow({ item }) {
    const available = store.stock.value[item.variant_id]?.available ?? 0;
    return html`<tr class=${available === 0 ? "gone" : ""}>
      <th scope="row"><span class="item-head">${acts && html`<${PinSwitch} item=${item} />`}<${Name} item=${item} /><span class="muted"><${PriceTag} item=${item} /></span></span></th>
      ${COLUMNS.map((column) => html`<td key=${column} data-label=${HEADINGS[column]} data-testid="board-${item.variant_id}-${column}">${column === "available" ? available : "–"}</td>`)}
      <td class="act"><span class="muted">bundle</span></td>
    </tr>`;
  }

  function Board() {
    const single = store.items.value.filter((item) => !item.parts);
    const bundles = store.items.value.filter((item) => item.parts);
    const stocks = single.map((item) => store.stock.value[item.variant_id] ?? item.stock);
    const total = (column) => stocks.reduce((all, stock) => all + stock[column], 0);
    return html`<section class="panel board" aria-labelledby="board-title">
      <h2 id="board-title">Stock</h2>
      <table>
        <thead><tr><th scope="col">Item</th>${COLUMNS.map((column) => html`<th key=${column} scope="col">${HEADINGS[column]}</th>`)}<th scope="col">${acts ? "Restock" : ""}</th></tr></thead>
        <tbody data-testid="board">
          ${single.map((item) => html`<${BoardRow} key=${item.variant_id} item=${item} />`)}
          ${bundles.map((item) => html`<${BundleRow} key=${item.variant_id} item=${item} />`)}
        </tbody>
        <tfoot><tr><th scope="row">Total</th>${COLUMNS.map((column) => html`<td key=${column} data-label=${HEADINGS[column]} data-testid="board-total-${column}">${total(column)}</td>`)}<td class="act"></td></tr></tfoot>
      </table>
    </section>`;
  }

  const titleOf = (variant) => {
    const item = store.items.value.find((each) => each.variant_id === variant);
    return item ? `${item.title}${item.option && `, ${item.option}`}` : variant;
  };

  /** What an order is of, in words: each line, a bundle once by its own name. */
  const linesOf = ({ lines }) => {
    const bundles = [...new Set(lines.map((line) => line.bundle_id).filter(Boolean))];
    const single = lines.filter((line) => !line.bundle_id);
    return [...bundles.map(titleOf), ...single.map((line) => titleOf(line.variant_id) + (line.quantity > 1 ? ` × ${line.quantity}` : ""))].join(" + ");
  };

  const refundKeys = new Map();

  /** The same refund asked again after a lost answer goes under the same key: money moves once. */
  async function refund(order, amount) {
    const left = order.total.amount - order.refunded.amount;
    const what = money({ amount: amount ?? left, currency: order.total.currency });
    const yes = await confirm({ title: `Refund ${what}?`, text: `${order.buyer_name}, ${linesOf(order)}`, action: `Refund ${what}` });
    if (!yes) return false;
    const asked = `${order.order_id} ${amount ?? "all"} ${order.refunded.amount}`;
    if (!refundKeys.has(asked)) refundKeys.set(asked, intent());
    const done = await attempt(async () => api.refund(order.order_id, await token(), refundKeys.get(asked), amount));
    if (done) await refetch();
    return Boolean(done);
  }

  function RefundForm({ order }) {
    const field = useRef();
    const { order_id: id, total, refunded } = order;
    if (!acts || refunded.amount >= total.amount || ["cancelled", "capture_failed"].includes(order.state)) return null;
    const part = async (event) => {
      event.preventDefault();
      const amount = minorUnits(field.current.value, total.currency);
      if (!amount || amount > total.amount - refunded.amount) return toast(`Between ${decimal(1, digits(total.currency))} and ${money({ amount: total.amount - refunded.amount, currency: total.currency })}.`, "bad");
      if (await refund(order, amount)) if (field.current) field.current.value = "";
      return undefined;
    };
    return html`<form class="refund" onSubmit=${part}>
      <input ref=${field} inputmode="decimal" placeholder="amount" aria-label="Part of the order of ${order.buyer_name} to refund, in ${total.currency}" data-testid="refund-input-${id}" />
      <button type="submit" class="plain" data-testid="refund-part-${id}">Refund part</button>
      <button type="button" class="quiet" data-testid="refund-${id}" onClick=${() => refund(order, null)}>Refund all</button>
    </form>`;
  }

  function OrderRow({ order }) {
    return html`<li class="order ${order.state}" data-testid="order-${order.order_id}" data-state=${order.state}>
      <div class="order-head">
        <b>${linesOf(order)}</b>
        <span class="price">${money(order.total)}</span>
      </div>
      <div class="muted">
        <time datetime=${new Date(order.created_at_ms).toISOString()}>${timeOfDay(order.created_at_ms)}</time>${" "}${order.buyer_name}${" "}
        <span class="state">${ORDER_WORDS[order.state]}</span>
        ${order.refunded.amount > 0 && html` <span>${money(order.refunded)} back</span>`}
      </div>
      <${RefundForm} order=${order} />
    </li>`;
  }

  function Orders() {
    const list = orders.value ?? [];
    return html`<section class="panel" aria-labelledby="orders-title">
      <h2 id="orders-title">Orders</h2>
      ${list.length === 0 && html`<p class="muted">None yet.</p>`}
      <ul class="list" data-testid="orders">${list.map((order) => html`<${OrderRow} key=${order.order_id} order=${order} />`)}</ul>
      ${moreOrders.value && html`<button type="button" class="quiet" data-testid="orders-older" onClick=${loadOlder}>Older orders</button>`}
    </section>`;
  }

  function Holds() {
    const list = holds.value.filter(({ state }) => state === "held" || state === "paying");
    return html`<section class="panel" aria-labelledby="holds-title">
      <h2 id="holds-title">Open holds</h2>
      ${list.length === 0 && html`<p class="muted">None.</p>`}
      <ul class="list" data-testid="holds">
        ${list.map(
          (hold) => html`<li key=${hold.hold_id} class="hold" data-testid="hold-${hold.hold_id}">
            <span>${titleOf(hold.variant_id)}${hold.quantity > 1 ? ` × ${hold.quantity}` : ""}</span>
            <span class="price">${money(hold.total)}</span>
            <span class="muted">${hold.state === "paying" ? "paying" : countdown(Math.min(hold.expires_at_ms - tick.value, hold.expires_at_ms - hold.created_at_ms))}</span>
          </li>`,
        )}
      </ul>
    </section>`;
  }

  function Console() {
    if (isLockedOut(problem.value)) return html`<${TokenGate} session=${session} role="operator" refused=${gateWords(session, "operator", problem.value)} />`;
    return html`<${TopBar} title="Console" show=${store.show.value} viewers=${store.viewers.value} status=${status.value} />
      <main class="console">
        <div class="wide">${acts ? html`<${Switches} />` : html`<${SwitchNotes} show=${store.show.value} />`}<${Totals} /></div>
        <${Board} />
        <${ProviderPanel} />
        <${MediaPanel} state=${store.show.value?.state} />
        ${acts && html`<${PriceErrorPanel} />`}
        <${Orders} />
        <div class="stack"><${Holds} />${acts && html`<${AudiencePanel} /><${ModerationPanel} />`}</div>
        <section class="panel talk ${acts ? "" : "read-only"}" aria-labelledby="chat-title">
          <header class="split"><h2 id="chat-title">Chat</h2>${acts && html`<${SlowMode} />`}</header>
          <${ChatList} messages=${store.chat.value} onTop=${store.onTop.value} voice=${voice} staff=${acts ? moderator : null} />
          ${acts && html`<${ChatForm} voice=${voice} />`}
        </section>
        ${acts && html`<${AuditPanel} />`}
        ${givesAccess && html`<${AccessPanel} ...${{ show: showId, token }} />`}
        <${FilesPanel} ...${{ show: showId, token }} />
      </main>
      <${Questions} /><${Toasts} />`;
  }

  render(html`<${Console} />`, root);
  refetch();
}

const refused = gateWords(session, acts ? "operator" : "analyst");
if (["moderator", "host"].includes(role)) startModerating({ show: showId, session, root });
else if (session.value && !refused) start();
else render(html`<${TokenGate} session=${session} role="operator" refused=${refused} />`, root);
