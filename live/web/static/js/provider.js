/** The console's panel about the payment provider: what could not be said to it, and where its record and ours part. */
import { api, sleep } from "./api.js";
import { money } from "./money.js";
import { attempt } from "./staff.js";
import { timeOfDay } from "./time.js";
import { html, signal } from "./view.js";

const EVERY_MS = 15_000;

const SAID = { capture: "Take the money", refund: "Give money back", cancel: "Let the money go" };
const APART = {
  stray_authorization: "Reserved at the provider, and there is no order",
  stray_capture: "Taken by the provider, and there is no order",
  not_captured: "An order whose money was not taken",
  capture_missing: "Paid by our books, and the provider has no such money",
  other_amount: "The provider has another amount",
  refund_unknown: "Given back at the provider, and not here",
  refund_missing: "Given back here, and not at the provider",
};
const REMEDIES = {
  let_go: "It is being let go of.",
  give_back: "It is being given back.",
  capture: "It is being asked for again.",
  operator: "Please look into it at the provider.",
};

/** The panel of one show; `token` answers the operator's token. Shows nothing while there is nothing to do. */
export function providerPanel({ show, token }) {
  const parked = signal([]);
  const apart = signal([]);

  async function refetch() {
    const bearer = await token();
    [parked.value, apart.value] = (await Promise.all([api.parked(show, bearer), api.differences(show, bearer)])).map(({ items }) => items);
  }

  (async () => {
    for (;;) {
      if (!document.hidden) {
        try {
          await refetch();
        } catch (refused) {
          if (refused.status === 401 || refused.status === 403 || refused.status === 404) return;
        }
      }
      await sleep(EVERY_MS);
    }
  })();

  const again = (entry) =>
    attempt(async () => {
      await api.retryParked(show, await token(), entry);
      await refetch();
    });

  return function ProviderPanel() {
    if (parked.value.length + apart.value.length === 0) return null;
    return html`<section class="panel" aria-labelledby="provider-title" data-testid="provider">
      <h2 id="provider-title">Payments to look at</h2>
      <ul class="list">
        ${parked.value.map(
          ({ entry_id: entry, kind, amount, order_id: order, why, attempts }) => html`<li key=${entry} class="order" data-testid="parked-${entry}">
            <div class="order-head"><b>${SAID[kind] ?? kind}</b><span class="price">${money(amount)}</span></div>
            <div class="muted">${order ?? "no order"} · the provider said “${why}” · ${attempts} ${attempts === 1 ? "try" : "tries"}</div>
            <button type="button" class="quiet" data-testid="parked-again-${entry}" onClick=${() => again(entry)}>Say it again</button>
          </li>`,
        )}
        ${apart.value.map(
          ({ payment_id: payment, kind, remedy, order_id: order, amount, found_at_ms: found }) => html`<li key=${payment + kind} class="order" data-testid="apart-${payment}">
            <div class="order-head"><b>${APART[kind] ?? kind}</b>${amount.currency && html`<span class="price">${money(amount)}</span>`}</div>
            <div class="muted"><time datetime=${new Date(found).toISOString()}>${timeOfDay(found)}</time> ${order ?? payment}</div>
            <div>${REMEDIES[remedy] ?? ""}</div>
          </li>`,
        )}
      </ul>
    </section>`;
  };
}
