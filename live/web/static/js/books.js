/**
 * The check of a public ledger, in the browser: the chains, the sums, and where an order stands in them.
 *
 * The same rules as checkout/core/public_ledger.py, by another hand and another SHA-256.
 */
const SEPARATOR = "\u001f";
const GENESIS = new Uint8Array(32);
const text = new TextEncoder();

export const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** How the public ledger calls an order. */
export const orderName = async (salt, order) => hex(await sha256(text.encode(salt + order)));

async function itemProblems(show, item) {
  const problems = [];
  const units = { opening: 0, restocked: 0, returned: 0, sold: 0, withdrawn: 0 };
  let prev = GENESIS;
  for (const [at, entry] of item.entries.entries()) {
    const { seq, kind, units: moved, amount, order, at_ms: atMs, entry: own } = entry;
    const fields = [show, item.variant_id, seq, kind, moved, amount, order ?? "", atMs, own];
    prev = await sha256(joined(prev, text.encode(fields.join(SEPARATOR))));
    if (seq !== at + 1 || hex(prev) !== entry.hash) return [`${item.title}: entry ${at + 1} was changed, or is missing`];
    if (kind in units) units[kind] += moved;
  }
  if (hex(prev) !== item.head) problems.push(`${item.title}: the chain ends elsewhere than it says`);
  const onHand = units.opening + units.restocked + units.returned - units.sold - units.withdrawn;
  if (Object.entries(units).some(([kind, sum]) => item.sums[kind] !== sum)) problems.push(`${item.title}: the sums are not those of the entries`);
  if (onHand !== item.available + item.held) problems.push(`${item.title}: ${onHand} by the ledger, ${item.available + item.held} on the shelf`);
  if (item.available < 0 || item.held < 0) problems.push(`${item.title}: oversold`);
  return problems;
}

/** What is wrong with a ledger, in words; empty if it proves what it says. */
export async function problemsOf(ledger) {
  const found = [];
  for (const item of ledger.items) found.push(...(await itemProblems(ledger.show_id, item)));
  return found;
}

/** The entries of a receipt's order: `[{item, entry}]`; and whether the sale is there as the receipt has it. */
export async function findOrder(ledger, receipt) {
  const name = await orderName(receipt.salt, receipt.order_id);
  const entries = ledger.items.flatMap((item) => item.entries.filter(({ order }) => order === name).map((entry) => ({ item, entry })));
  const isWhole = receipt.lines.every((line) =>
    entries.some(({ item, entry }) => item.variant_id === line.variant_id && entry.seq === line.ledger_seq && entry.entry === line.ledger_hash && entry.units === line.quantity && entry.amount === line.total.amount),
  );
  return { entries, isWhole };
}
