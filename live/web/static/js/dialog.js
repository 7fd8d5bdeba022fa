/** Questions in a native <dialog>: `await confirm({...})` before something hard to undo, `await choose({...})` for one of several. */
import { html, signal, useEffect, useId, useRef } from "./view.js";

const question = signal(null);

/** True once the person has pressed `action`; false when they pressed Escape or `back`. */
export function confirm({ title, text = "", action, back = "Cancel", danger = true }) {
  question.value?.answer(false);
  return new Promise((resolve) => {
    const answer = (yes) => {
      question.value = null;
      resolve(yes);
    };
    question.value = { title, text, action, back, danger, answer };
  });
}

/** As `confirm`, with a line to write; what was written, perhaps nothing, or null when they pressed Escape or Cancel. */
export function confirmWithWords({ label, maxLength, ...asked }) {
  question.value?.answer(false);
  return new Promise((resolve) => {
    const answer = (yes) => {
      const written = document.getElementById("question-words")?.value.trim() ?? "";
      question.value = null;
      resolve(yes ? written : null);
    };
    question.value = { back: "Cancel", danger: true, ...asked, words: { label, maxLength }, answer };
  });
}

/** The `name` of the action that the person pressed; null when they pressed Escape or Cancel. */
export function choose({ title, text = "", actions }) {
  question.value?.answer(null);
  return new Promise((resolve) => {
    const answer = (name) => {
      question.value = null;
      resolve(name || null);
    };
    question.value = { title, text, actions, answer };
  });
}

export function Questions() {
  const asked = question.value;
  return asked && html`<${asked.actions ? Choice : Question} key=${asked.title} ...${asked} />`;
}

function Choice({ title, text, actions, answer }) {
  const dialog = useRef();
  const id = useId();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="question choice" aria-labelledby=${id} onClose=${() => answer(null)} onClick=${(event) => event.target === dialog.current && answer(null)} data-testid="choice">
    <h2 id=${id}>${title}</h2>
    ${text && html`<p class="quote">${text}</p>`}
    <div class="choices">
      ${actions.map(({ name, words, danger }) => html`<button key=${name} type="button" class=${danger ? "danger" : "quiet"} onClick=${() => answer(name)} data-testid="choose-${name}">${words}</button>`)}
      <button type="button" class="plain" onClick=${() => answer(null)} data-testid="choose-nothing">Cancel</button>
    </div>
  </dialog>`;
}

function Question({ title, text, action, back, danger, words, answer }) {
  const dialog = useRef();
  const id = useId();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="question" aria-labelledby=${id} onClose=${() => answer(false)} data-testid="confirm">
    <h2 id=${id}>${title}</h2>
    ${text && html`<p>${text}</p>`}
    ${words && html`<label>${words.label} <input id="question-words" maxlength=${words.maxLength} autocomplete="off" data-testid="confirm-words" /></label>`}
    <div class="actions">
      <button type="button" class="quiet" onClick=${() => answer(false)} data-testid="confirm-no">${back}</button>
      <button type="button" class=${danger ? "danger" : "primary"} onClick=${() => answer(true)} data-testid="confirm-yes">${action}</button>
    </div>
  </dialog>`;
}
