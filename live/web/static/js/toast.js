/** Short messages at the edge of the page, read out by a screen reader without taking the focus. */
import { html, signal } from "./view.js";

const SHOWN_MS = 6_000;
const SHOWN_MAX = 3;
const toasts = signal([]);
let last = 0;

export function toast(text, kind = "info") {
  const id = (last += 1);
  toasts.value = [...toasts.value.filter((each) => each.text !== text), { id, text, kind }].slice(-SHOWN_MAX);
  setTimeout(() => dismiss(id), SHOWN_MS);
}

function dismiss(id) {
  toasts.value = toasts.value.filter((each) => each.id !== id);
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite" data-testid="toasts">
    ${toasts.value.map(({ id, text, kind }) => html`<p key=${id} class="toast ${kind}" onClick=${() => dismiss(id)}>${text}</p>`)}
  </div>`;
}
