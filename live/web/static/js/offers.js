/**
 * Offers as buyers see them: a flash price with its countdown and what is left of it, a bundle as an item, the coupon.
 *
 * Invariant: a countdown ends by the server's clock, and at its end the ordinary price stands there, whatever comes later.
 */
import { tick } from "./clock.js";
import { money } from "./money.js";
import { countdown } from "./time.js";
import { html } from "./view.js";

/** The flash price of an item that can be had at `atMs`, or null. */
export function flashAt(item, atMs) {
  const flash = item.flash;
  return flash && flash.remaining > 0 && flash.ends_at_ms > atMs ? flash : null;
}

/** What one of an item costs at `atMs`. */
export function priceAt(item, atMs) {
  return flashAt(item, atMs)?.price ?? item.flash?.instead_of ?? item.price;
}

/** A bundle in the shape of an item, so that it is listed, pinned and bought like one. */
export function asItem(bundle, position) {
  const { bundle_id, title, image, price, instead_of, parts } = bundle;
  return { variant_id: bundle_id, product_id: bundle_id, title, option: "", image, price, instead_of, parts, position, limit_per_buyer: 1 };
}

/** As many of a bundle as its scarcest part allows; null while a part is not known. */
export function bundleStock(bundle, stock) {
  const each = bundle.parts.map(({ variant_id, units }) => stock[variant_id] && Math.floor(stock[variant_id].available / units));
  if (each.some((number) => number === undefined)) return null;
  const held = bundle.parts.some(({ variant_id }) => stock[variant_id].available === 0 && stock[variant_id].held > 0) ? 1 : 0;
  return { available: Math.min(...each), held };
}

/** The price of an item, and, while it is another than usual, what it usually is, for how long and for how many. */
export function PriceTag({ item, testid = undefined }) {
  const atMs = item.flash ? tick.value : 0; // only a countdown redraws its card four times a second
  const flash = flashAt(item, atMs);
  const price = priceAt(item, atMs);
  const usual = flash ? flash.instead_of : item.parts && item.instead_of.amount > item.price.amount ? item.instead_of : null;
  return html`<span class="price ${flash ? "flash" : ""}" data-testid=${testid}>${money(price)}</span>
    ${usual && html`<s class="usual"><span class="unseen">instead of </span>${money(usual)}</s>`}
    ${flash &&
    html`<span class="flash-note" data-testid="flash-${item.variant_id}" data-remaining=${flash.remaining}>
      <span role="timer">${countdown(flash.ends_at_ms - atMs)}</span>, ${flash.remaining} at this price
    </span>`}`;
}

/** What a coupon takes off, in a few words. */
export function couponWords({ percent_bp, amount, minimum }) {
  const off = amount ? money(amount) : `${percent_bp / 100} %`;
  return `${off} off${minimum.amount > 0 ? ` from ${money(minimum)}` : ""}`;
}
