/**
 * Amounts for people: integer minor units of an ISO 4217 currency, in the viewer's own notation.
 *
 * How many digits a currency has comes from Intl (yen 0, euro 2, dinar 3), never from a constant 100.
 */
const formats = new Map();

function format(currency, locale) {
  const key = `${locale ?? ""}|${currency}`;
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(locale, { style: "currency", currency }));
  return formats.get(key);
}

/** The number of minor digits of `currency`: 2 for EUR, 0 for JPY, 3 for KWD. */
export function digits(currency) {
  return format(currency).resolvedOptions().maximumFractionDigits;
}

/** `{amount: 1800, currency: "EUR"}` as "€18.00", or as the locale writes it. */
export function money({ amount, currency }, locale = undefined) {
  return format(currency, locale).format(decimal(amount, digits(currency)));
}

/** Minor units as a decimal string, exact for any size: Intl formats strings without going through a float. */
export function decimal(amount, fraction) {
  if (fraction === 0) return String(amount);
  const sign = amount < 0 ? "-" : "";
  const padded = String(Math.abs(amount)).padStart(fraction + 1, "0");
  return `${sign}${padded.slice(0, -fraction)}.${padded.slice(-fraction)}`;
}

/** What a person typed ("12", "12.5", "12,50") as minor units; null when it is not an amount of `currency`. */
export function minorUnits(text, currency) {
  const fraction = digits(currency);
  const match = /^\s*(\d{1,9})(?:[.,](\d+))?\s*$/.exec(text);
  if (!match || (match[2] ?? "").length > fraction) return null;
  return Number(match[1] + (match[2] ?? "").padEnd(fraction, "0"));
}
