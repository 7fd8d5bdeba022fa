/** An item on sale, as buyers see it: a card beside the video, a row in the index, and the parts both share. */
import { money } from "./money.js";
import { PriceTag } from "./offers.js";
import { stale } from "./stale.js";
import { html, signal } from "./view.js";
import { stockNote } from "./words.js";

const HUES = 12;

/** A picture, or the first letter on one of twelve quiet colours when the merchant has none. */
export function Thumb({ item }) {
  if (item.image) return html`<img class="thumb" src=${item.image} alt="" loading="lazy" width="56" height="56" />`;
  const hue = [...item.product_id].reduce((total, letter) => (total * 31 + letter.codePointAt(0)) % HUES, 7);
  return html`<span class="thumb letter hue-${hue}" aria-hidden="true">${item.title.slice(0, 1)}</span>`;
}

/** The number by which the chat buys it: "sold 3". Bundles have none. */
export const numberOf = (item) => (item.parts ? null : item.position + 1);

export function Name({ item, numbered = false }) {
  const number = numbered ? numberOf(item) : null;
  return html`<span class="name">${number !== null && html`<span class="number" aria-label="Number ${number}">${number}</span>`}${item.title}${item.option && html`<span class="option">${item.option}</span>`}</span>`;
}

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** Those whose title, option or number has each of the words, as far as they are typed. */
export function found(items, typed) {
  const words = plain(typed).split(/\s+/).filter(Boolean);
  return items.filter((item) => {
    const text = plain(`${numberOf(item) ?? ""} ${item.title} ${item.option ?? ""}`);
    return words.every((word) => text.includes(word));
  });
}

/** How many were sold and stayed so, as the ledger counts; nothing is said of none, nor of bundles, whose parts count. */
function Bought({ item, stock }) {
  const bought = item.parts ? 0 : (stock?.sold ?? 0) - (stock?.returned ?? 0);
  return bought > 0 && html`<span class="bought" data-testid="bought-${item.variant_id}" data-count=${bought}>${bought} bought</span>`;
}

export function StockNote({ item, stock, prefix = "" }) {
  const available = stock?.available ?? 0;
  const tone = available === 0 ? "gone" : available <= 5 ? "few" : "";
  return html`<span class="stock ${tone} ${stale.value ? "stale" : ""}" data-testid="${prefix}stock-${item.variant_id}" data-available=${available} data-stale=${stale.value}>${stockNote(stock, stale.value)}</span>`;
}

function BuyButton({ item, stock, open, busy, onBuy, quantity = 1, prefix = "" }) {
  const gone = (stock?.available ?? 0) < 1;
  const label = gone ? "Sold out" : open ? "Buy" : "Closed";
  return html`<button
    type="button"
    class="buy"
    disabled=${gone || !open || busy}
    aria-label="${label} ${item.title} ${item.option}, ${money(item.price)}"
    data-testid="${prefix}buy-${item.variant_id}"
    onClick=${() => onBuy(item, quantity)}
  >
    ${label}
  </button>`;
}

/** The line for what is sold out: join it, see how many are ahead, leave it. */
function Line({ item, stock, open, place, onWait, onLeave, prefix = "" }) {
  if (place) {
    const ahead = place.ahead === 0 ? "You are next" : `${place.ahead} ahead of you`;
    return html`<span class="waiting" data-testid="${prefix}waiting-${item.variant_id}">
      <span role="status">${ahead}</span>
      <button type="button" class="link" aria-label="Leave the line for ${item.title} ${item.option}" data-testid="${prefix}leave-${item.variant_id}" onClick=${() => onLeave(item)}>Leave</button>
    </span>`;
  }
  if (!open || (stock?.available ?? 0) > 0 || item.parts) return null; // what is in a bundle is waited for one by one
  return html`<button type="button" class="link wait" aria-label="Wait for ${item.title} ${item.option}" data-testid="${prefix}wait-${item.variant_id}" onClick=${() => onWait(item)}>
    Wait for one
  </button>`;
}

export function PinCard({ item, stock, open, busy, onBuy, ...line }) {
  return html`<li class="card" data-testid="pin-card-${item.variant_id}">
    <${Thumb} item=${item} />
    <div class="about">
      <${Name} item=${item} numbered />
      <span class="line">
        <${PriceTag} item=${item} testid="price-${item.variant_id}" />
        <${StockNote} item=${item} stock=${stock} />
        <${Bought} item=${item} stock=${stock} />
      </span>
      <${Line} ...${{ item, stock, open, ...line }} />
    </div>
    <${BuyButton} ...${{ item, stock, open, busy, onBuy }} />
  </li>`;
}

const quantities = signal({});

/** A row of the index of all items, with a quantity where the limit allows more than one. */
export function ItemRow({ item, stock, open, busy, onBuy, ...line }) {
  const most = Math.min(item.limit_per_buyer, Math.max(1, stock?.available ?? 1), 10);
  const quantity = Math.min(most, quantities.value[item.variant_id] ?? 1);
  const choose = ({ target }) => (quantities.value = { ...quantities.value, [item.variant_id]: Number(target.value) });
  return html`<li class="row">
    <${Thumb} item=${item} />
    <div class="about">
      <${Name} item=${item} numbered />
      <span class="line">
        <${PriceTag} item=${item} />
        <${StockNote} item=${item} stock=${stock} prefix="drawer-" />
      </span>
      <${Line} ...${{ item, stock, open, ...line }} prefix="drawer-" />
    </div>
    ${most > 1 &&
    html`<select aria-label="Quantity of ${item.title}" value=${quantity} onChange=${choose}>
      ${Array.from({ length: most }, (_, index) => html`<option key=${index} value=${index + 1}>${index + 1}</option>`)}
    </select>`}
    <${BuyButton} ...${{ item, stock, open, busy, onBuy, quantity }} prefix="drawer-" />
  </li>`;
}
