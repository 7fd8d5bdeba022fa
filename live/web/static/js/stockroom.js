/** What an operator does to one item's stock: add what arrived, take off what is not for sale, be told when few are left. */
import { api, intent } from "./api.js";
import { attempt } from "./staff.js";
import { toast } from "./toast.js";
import { html, signal, useRef } from "./view.js";

const open = signal(null);

function Withdraw({ show, token, item, stock }) {
  const units = useRef();
  const reason = useRef();
  const key = useRef(intent());
  const { variant_id: variant } = item;
  const take = async (event) => {
    event.preventDefault();
    const done = await attempt(async () => api.withdraw(show, await token(), key.current, variant, Number(units.current.value), reason.current.value));
    if (!done) return (key.current = intent());
    toast(`${units.current.value} withdrawn: ${item.title} ${item.option}`);
    return (open.value = null);
  };
  return html`<form class="fields" onSubmit=${take}>
    <label>Units<input ref=${units} type="number" min="1" max=${Math.max(1, stock.available)} step="1" required inputmode="numeric" data-testid="withdraw-units-${variant}" /></label>
    <label class="wide-field">Reason<input ref=${reason} maxlength="500" required placeholder="broken, miscounted…" data-testid="withdraw-reason-${variant}" /></label>
    <button type="submit" class="danger" data-testid="withdraw-save-${variant}">Withdraw</button>
  </form>`;
}

function Threshold({ show, token, item }) {
  const field = useRef();
  const { variant_id: variant } = item;
  const save = async (event) => {
    event.preventDefault();
    const low = await attempt(async () => api.setLow(show, await token(), variant, Number(field.current.value)));
    if (low) toast(low.low_at ? `You are told at ${low.low_at} or fewer.` : "You are not told any more.");
  };
  return html`<form class="fields" onSubmit=${save}>
    <label>Alert at<input ref=${field} type="number" min="0" max="1000000" step="1" defaultValue="5" required inputmode="numeric" data-testid="low-at-${variant}" /></label>
    <button type="submit" class="quiet" data-testid="low-save-${variant}">Set alert</button>
  </form>`;
}

/** A button in the row, and below it what it opens; one row's at a time. */
export function StockButton({ item }) {
  const { variant_id: variant } = item;
  const toggle = () => (open.value = open.value === variant ? null : variant);
  return html`<button type="button" class="plain" aria-expanded=${open.value === variant} aria-label="More about the stock of ${item.title} ${item.option}" data-testid="stock-more-${variant}" onClick=${toggle}>…</button>`;
}

export function StockForms({ show, token, item, stock, columns }) {
  if (open.value !== item.variant_id) return null;
  return html`<tr class="stock-forms"><td colspan=${columns} class="act">
    <${Withdraw} ...${{ show, token, item, stock }} />
    <${Threshold} ...${{ show, token, item }} />
  </td></tr>`;
}
