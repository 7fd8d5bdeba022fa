/** The public audit page: what a show sold, item by item, without any buyer; and the means to check it. */
import { api } from "./api.js";
import { findOrder, problemsOf } from "./books.js";
import { download } from "./download.js";
import { money } from "./money.js";
import { showOfPath } from "./session.js";
import { dateTime, timeOfDay } from "./time.js";
import { html, render, signal } from "./view.js";
import { explain } from "./words.js";

const showId = showOfPath();
const COLUMNS = ["opening", "restocked", "returned", "sold", "withdrawn"];
const SIGNS = { opening: "", restocked: "+", returned: "+", sold: "−", withdrawn: "−" };
const KINDS = { opening: "Put on sale", restocked: "Restocked", sold: "Sold", returned: "Returned", withdrawn: "Withdrawn", capture: "Paid", refund: "Refunded" };

const book = signal(null);
const problem = signal(null);
const checked = signal(null);
const mine = signal(null);

async function load() {
  try {
    book.value = await api.openBook(showId);
  } catch (refused) {
    problem.value = refused;
  }
}

const fetchLedger = async () => api.publicLedger(showId);

async function check() {
  checked.value = { busy: true };
  try {
    const ledger = await fetchLedger();
    const problems = await problemsOf(ledger);
    const entries = ledger.items.reduce((sum, item) => sum + item.entries.length, 0);
    checked.value = { problems, entries, hash: ledger.hash };
  } catch (refused) {
    checked.value = { problems: [explain(refused)] };
  }
}

async function find(event) {
  const [file] = event.target.files;
  if (!file) return;
  try {
    const receipt = JSON.parse(await file.text());
    mine.value = { receipt, ...(await findOrder(await fetchLedger(), receipt)) };
  } catch (refused) {
    mine.value = { problem: refused instanceof SyntaxError || refused instanceof TypeError ? "That is no receipt of this shop." : explain(refused) };
  }
}

function Row({ item }) {
  const { sums } = item;
  const even = sums.on_hand === item.available + item.held;
  return html`<tr class=${even ? "" : "gone"} data-testid="book-${item.variant_id}">
    <th scope="row">${item.title}<span class="muted">${item.entries} ${item.entries === 1 ? "entry" : "entries"}</span></th>
    ${COLUMNS.map((column) => html`<td key=${column} data-label=${column} data-testid="book-${item.variant_id}-${column}">${SIGNS[column]}${sums[column]}</td>`)}
    <td data-label="on hand"><b>= ${sums.on_hand}</b></td>
    <td data-label="available">${item.available}</td>
    <td data-label="held">+ ${item.held}</td>
    <td data-label="paid">${money({ amount: sums.captured - sums.refunded, currency: item.currency })}</td>
  </tr>`;
}

function Verdict() {
  const result = checked.value;
  if (result === null) return null;
  if (result.busy) return html`<p role="status">Checking…</p>`;
  const good = result.problems.length === 0;
  return html`<div class="verdict ${good ? "good" : "bad"}" role="status" data-testid="verdict" data-good=${String(good)}>
    ${good ? html`<p><b>It adds up.</b> ${result.entries} entries, each naming the one before it; none was changed or left out.</p><p class="fine">ledger <code>${result.hash}</code></p>` : html`<p><b>It does not add up.</b></p><ul>${result.problems.map((what) => html`<li key=${what}>${what}</li>`)}</ul>`}
  </div>`;
}

function Mine() {
  const result = mine.value;
  if (result === null) return null;
  if (result.problem) return html`<p class="alert" role="alert">${result.problem}</p>`;
  const { receipt, entries, isWhole } = result;
  return html`<div class="verdict ${isWhole ? "good" : "bad"}" role="status" data-testid="mine" data-good=${String(isWhole)}>
    <p><b>${isWhole ? `Your order, number ${receipt.number}, is in the ledger.` : "The ledger does not have this order as the receipt says."}</b></p>
    <ul>${entries.map(({ item, entry }) => html`<li key=${`${item.variant_id} ${entry.seq}`}>${KINDS[entry.kind] ?? entry.kind}: ${item.title}${entry.units > 0 ? ` × ${entry.units}` : ""}${entry.amount > 0 ? `, ${money({ amount: entry.amount, currency: item.currency })}` : ""} <span class="muted">${timeOfDay(entry.at_ms)}, entry ${entry.seq}</span></li>`)}</ul>
  </div>`;
}

function Books() {
  const { title, items, made_at_ms: at, key, balanced, rehearsal } = book.value;
  return html`<h1>${title}</h1>
    ${rehearsal && html`<p class="alert">This is a rehearsal: nothing was really sold.</p>`}
    <p>Every unit that was put on sale, sold, returned or taken off, as the shop's ledger has it on ${dateTime(at)}. No buyer is in it.</p>
    <section class="panel">
      <h2>Stock</h2>
      <table>
        <thead><tr><th scope="col">Item</th>${COLUMNS.map((column) => html`<th key=${column} scope="col">${column}</th>`)}<th scope="col">on hand</th><th scope="col">available</th><th scope="col">held</th><th scope="col">paid, less refunds</th></tr></thead>
        <tbody data-testid="book">${items.map((item) => html`<${Row} key=${item.variant_id} item=${item} />`)}</tbody>
      </table>
      ${items.length === 0 && html`<p class="muted">Nothing is on sale yet.</p>`}
      <p class="equation ${balanced ? "" : "bad"}" data-testid="balanced" data-balanced=${String(balanced)}>opening + restocked + returned − sold − withdrawn = on hand = available + held</p>
    </section>
    <section class="panel">
      <h2>Check it yourself</h2>
      <div class="actions">
        <button type="button" class="primary" data-testid="check" disabled=${checked.value?.busy} onClick=${check}>Check it in this browser</button>
        <button type="button" class="quiet" data-testid="download-ledger" onClick=${() => download(`/api/v1/shows/${encodeURIComponent(showId)}/public-ledger`, "", `ledger-${showId}.json`).catch((refused) => (problem.value = refused))}>Download the ledger</button>
      </div>
      <${Verdict} />
      <p>Or offline, with the file and nothing else:</p>
      <pre><code>showfloor verify --file ledger-${showId}.json --key=${key}</code></pre>
      <p class="fine">The key signs the ledger and every receipt. It is also at <a href="/.well-known/jwks.json">/.well-known/jwks.json</a>.</p>
    </section>
    <section class="panel">
      <h2>Find your own order</h2>
      <p>Choose the receipt that you downloaded after buying. It stays in this browser.</p>
      <label class="file">Receipt<input type="file" accept="application/json,.json" data-testid="receipt" onChange=${find} /></label>
      <${Mine} />
    </section>`;
}

function Page() {
  return html`<header class="top"><a class="brand" href="/">Showfloor</a><span class="muted">Open books</span></header>
    <main class="books">
      ${problem.value && html`<p class="alert" role="alert">${explain(problem.value)}</p>`}
      ${book.value ? html`<${Books} />` : !problem.value && html`<p class="muted">One moment…</p>`}
    </main>`;
}

render(html`<${Page} />`, document.getElementById("app"));
load();
