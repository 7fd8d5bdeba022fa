/** The operator's office, below the show: wrong prices taken back, the audit log, and what can be taken away as a file. */
import { api } from "./api.js";
import { confirm } from "./dialog.js";
import { download } from "./download.js";
import { minorUnits, money } from "./money.js";
import { attempt } from "./staff.js";
import { timeOfDay } from "./time.js";
import { toast } from "./toast.js";
import { html, signal, useRef } from "./view.js";

const ROUNDS_MAX = 100;

const ACTIONS = {
  restockItem: "Restocked",
  withdrawItem: "Withdrew",
  setLowStock: "Set the low-stock alert",
  refundOrder: "Refunded",
  rollBackPriceError: "Took back a wrong price",
  setSales: "Sales switch",
  setShowState: "Show state",
  setPrice: "Changed the price",
  pinItem: "Pinned",
  unpinItem: "Unpinned",
  setChatSettings: "Chat settings",
  deleteChatMessage: "Deleted a message",
  allocateItem: "Put on sale",
  rehearse: "Rehearsal",
};

/** `setSales` as "Sales switch"; an operation without words of its own by its name, taken apart. */
const wordsOf = (action) => ACTIONS[action] ?? action.replaceAll(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);

const short = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  if ("amount" in value && "currency" in value) return money(value);
  const parts = Object.entries(value).map(([name, each]) => `${name.replaceAll("_", " ")} ${short(each)}`);
  return parts.slice(0, 4).join(", ");
};

function Change({ entry }) {
  const { before, after } = entry;
  if (before === null && after === null) return null;
  return html`<span class="change">${before !== null && html`${short(before)} → `}${short(after)}</span>`;
}

/** Each act once: how it ended, with what was asked; an act of which nobody knows how it ended stands by itself. */
export function actsOf(entries) {
  const ended = new Map(entries.filter(({ phase }) => phase !== "asked").map((entry) => [entry.act_id, entry]));
  const asked = new Map(entries.filter(({ phase }) => phase === "asked").map((entry) => [entry.act_id, entry]));
  const shown = entries.filter(({ phase, act_id: id }) => phase !== "asked" || !ended.has(id));
  return shown.map((entry) => ({ ...entry, after: entry.after ?? asked.get(entry.act_id)?.after ?? null }));
}

export function auditPanel({ show, token }) {
  const entries = signal(null);
  const cursor = signal(null);
  const load = (older) =>
    attempt(async () => {
      const page = await api.audit(show, await token(), older ? cursor.value : "");
      entries.value = older ? [...entries.value, ...page.items] : page.items;
      cursor.value = page.next_cursor;
    });

  return function AuditPanel() {
    const open = ({ currentTarget }) => currentTarget.open && load(false);
    return html`<details class="panel audit" data-testid="audit" onToggle=${open}>
      <summary><h2>Audit log</h2></summary>
      <p class="muted">What hosts, moderators and operators did. Each entry names the one before it: <code>showfloor verify</code> finds an edited one.</p>
      <ul class="list" data-testid="audit-entries">
        ${actsOf(entries.value ?? []).map(
          (entry) => html`<li key=${entry.seq} class="act-entry ${entry.phase}" data-testid="audit-${entry.seq}" data-phase=${entry.phase}>
            <span class="act-head"><b>${wordsOf(entry.action)}</b>${entry.phase === "refused" && html` <span class="badge">refused</span>`}${entry.phase === "asked" && html` <span class="badge">no outcome</span>`}<time class="muted" datetime=${new Date(entry.at_ms).toISOString()}>${timeOfDay(entry.at_ms)}</time></span>
            <span class="muted">${entry.name} (${entry.role}) · ${entry.object.replace(`shows/${show}/`, "")}</span>
            <${Change} entry=${entry} />
          </li>`,
        )}
      </ul>
      ${entries.value?.length === 0 && html`<p class="muted">Nothing yet.</p>`}
      ${cursor.value && html`<button type="button" class="quiet" data-testid="audit-older" onClick=${() => load(true)}>Older entries</button>`}
    </details>`;
  };
}

/** `2026-11-22T18:30` of a field in the operator's own time, as ms; `without` where it is empty. */
const momentOf = (text, without) => (text ? new Date(text).getTime() : without);

export function priceErrorPanel({ show, token, items, titleOf }) {
  const wrong = signal(null);
  const found = signal(null);
  const progress = signal("");

  const look = async (asked) => {
    wrong.value = asked;
    found.value = await attempt(async () => api.priceErrors(show, await token(), asked));
  };

  async function takeBack() {
    const { orders, holds, amount } = found.value;
    const yes = await confirm({
      title: `Refund ${money(amount)}?`,
      text: `${orders} ${orders === 1 ? "sale is" : "sales are"} refunded and ${holds} open ${holds === 1 ? "hold is" : "holds are"} released. Units return to the shelf.`,
      action: "Take it all back",
    });
    if (!yes) return;
    let done = 0;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const step = await attempt(async () => api.rollBack(show, await token(), wrong.value));
      if (!step) break;
      done += step.results.filter(({ outcome }) => outcome === "refunded" || outcome === "released").length;
      progress.value = `${done} taken back, ${step.left} left`;
      if (step.left === 0 || step.results.length === 0) break;
    }
    await look(wrong.value);
  }

  function Found() {
    if (found.value === null) return null;
    const { items: list, orders, holds, amount } = found.value;
    return html`<div data-testid="price-error-found">
      <p role="status"><b>${orders}</b> ${orders === 1 ? "sale" : "sales"}, <b>${holds}</b> open ${holds === 1 ? "hold" : "holds"}, <b>${money(amount)}</b> to give back. ${progress.value}</p>
      <ul class="list">
        ${list.map(
          (one) => html`<li key=${one.hold_id} class="order">
            <div class="order-head"><span>${one.buyer_name}${one.quantity > 1 ? ` × ${one.quantity}` : ""}</span><span class="price">${one.kind === "order" ? money(one.to_refund) : "hold"}</span></div>
            <div class="muted"><time datetime=${new Date(one.tapped_at_ms).toISOString()}>${timeOfDay(one.tapped_at_ms)}</time> at ${money(one.unit_price)}${one.hold_state === "paying" ? " · being paid for" : ""}</div>
          </li>`,
        )}
      </ul>
      ${orders + holds > list.length && html`<p class="muted">and ${orders + holds - list.length} more</p>`}
      ${orders + holds > 0 && html`<button type="button" class="danger" data-testid="price-error-take-back" onClick=${takeBack}>Take all of it back</button>`}
    </div>`;
  }

  return function PriceErrorPanel() {
    const form = useRef();
    const ask = (event) => {
      event.preventDefault();
      const data = new FormData(form.current);
      const item = items.value.find(({ variant_id: id }) => id === data.get("variant"));
      const amount = item && minorUnits(data.get("amount"), item.price.currency);
      if (!amount && amount !== 0) return toast("That is not a price.", "bad");
      progress.value = "";
      return look({ variant_id: item.variant_id, amount, from_ms: momentOf(data.get("from"), 0), to_ms: momentOf(data.get("to"), 2 ** 53) });
    };
    return html`<details class="panel price-errors" data-testid="price-errors">
      <summary><h2>A price was wrong</h2></summary>
      <form ref=${form} class="fields" onSubmit=${ask}>
        <label>Item<select name="variant" data-testid="price-error-variant">${items.value.map((item) => html`<option key=${item.variant_id} value=${item.variant_id}>${titleOf(item.variant_id)}</option>`)}</select></label>
        <label>Wrong price<input name="amount" inputmode="decimal" required data-testid="price-error-amount" /></label>
        <label>From<input name="from" type="datetime-local" step="1" /></label>
        <label>Until<input name="to" type="datetime-local" step="1" /></label>
        <button type="submit" class="primary" data-testid="price-error-look">List what was sold</button>
      </form>
      <${Found} />
    </details>`;
  };
}

export function FilesPanel({ show, token }) {
  const save = (path, name, withToken) => () => attempt(async () => download(path, withToken ? await token() : "", name));
  const base = `/api/v1/shows/${encodeURIComponent(show)}`;
  return html`<section class="panel files" aria-labelledby="files-title">
    <h2 id="files-title">Files</h2>
    <div class="actions">
      <button type="button" class="quiet" data-testid="export-orders" onClick=${save(`${base}/orders.csv`, `orders-${show}.csv`, true)}>Orders as CSV</button>
      <button type="button" class="quiet" data-testid="export-ledger" onClick=${save(`${base}/public-ledger`, `ledger-${show}.json`, false)}>Public ledger</button>
      <a class="button quiet" href="/audit/${encodeURIComponent(show)}" data-testid="open-audit">Public audit page</a>
    </div>
  </section>`;
}
