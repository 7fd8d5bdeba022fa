/** The run of a show: in which order the host shows things, what is next, and how another order is made. */
import { Pin } from "./icons.js";
import { html, signal } from "./view.js";

/** Those that the run names, in its order; then the others, as they stand. */
export function inOrder(items, run = []) {
  const place = new Map(run.map((variant, index) => [variant, index]));
  const of = ({ variant_id: variant }) => place.get(variant) ?? run.length;
  return [...items].sort((a, b) => of(a) - of(b));
}

/** What comes after the newest pin; the first where nothing is pinned; null at the end. */
export function nextOf(ordered, pins) {
  const newest = pins.findLast((pin) => ordered.some((item) => item.variant_id === pin));
  return ordered[ordered.findIndex((item) => item.variant_id === newest) + 1] ?? null;
}

/** The order with `variant` at `index`. */
export function moved(variants, variant, index) {
  const rest = variants.filter((each) => each !== variant);
  return [...rest.slice(0, index), variant, ...rest.slice(index)];
}

const nameOf = ({ title, option }) => `${title}${option ? `, ${option}` : ""}`;

/** What is shown now and next, with one button for it; and how many questions wait. */
export function Prompter({ ordered, pins, questions, onNext }) {
  const next = nextOf(ordered, pins);
  const now = ordered.find((item) => item.variant_id === pins.at(-1));
  return html`<div class="prompter" data-testid="prompter">
    <p><span class="muted">Now</span> <b>${now ? nameOf(now) : "nothing pinned"}</b>${questions > 0 && html` <span class="muted">${questions} ${questions === 1 ? "question waits" : "questions wait"}</span>`}</p>
    <button type="button" class="primary" disabled=${!next} data-testid="next" onClick=${() => onNext(next, now)}><${Pin} /> ${next ? `Next: ${nameOf(next)}` : "That was the last one"}</button>
  </div>`;
}

const dragged = signal(null);

/** What makes a row one that can be dragged to another place; `onMove(variant, index)`. */
export function draggable(variant, index, onMove) {
  return {
    draggable: true,
    onDragStart: (event) => {
      dragged.value = variant;
      event.dataTransfer.effectAllowed = "move";
    },
    onDragOver: (event) => dragged.value && event.preventDefault(),
    onDrop: (event) => {
      event.preventDefault();
      if (dragged.value && dragged.value !== variant) onMove(dragged.value, index);
      dragged.value = null;
    },
    onDragEnd: () => (dragged.value = null),
  };
}

/** The same without a mouse. */
export function Movers({ item, index, last, onMove }) {
  const { variant_id: variant } = item;
  return html`<span class="movers">
    <button type="button" class="plain" aria-label="Show ${nameOf(item)} earlier" disabled=${index === 0} data-testid="earlier-${variant}" onClick=${() => onMove(variant, index - 1)}>↑</button>
    <button type="button" class="plain" aria-label="Show ${nameOf(item)} later" disabled=${index === last} data-testid="later-${variant}" onClick=${() => onMove(variant, index + 1)}>↓</button>
  </span>`;
}
