/** Questions that must be answered before something hard to undo: `await confirm({...})`, in a native <dialog>. */
import { html, signal, useEffect, useId, useRef } from "./view.js";

const question = signal(null);

/** True once the person has pressed `action`; false when they pressed Escape or Cancel. */
export function confirm({ title, text = "", action, danger = true }) {
  question.value?.answer(false);
  return new Promise((resolve) => {
    const answer = (yes) => {
      question.value = null;
      resolve(yes);
    };
    question.value = { title, text, action, danger, answer };
  });
}

export function Questions() {
  const asked = question.value;
  return asked && html`<${Question} key=${asked.title} ...${asked} />`;
}

function Question({ title, text, action, danger, answer }) {
  const dialog = useRef();
  const id = useId();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="question" aria-labelledby=${id} onClose=${() => answer(false)} data-testid="confirm">
    <h2 id=${id}>${title}</h2>
    ${text && html`<p>${text}</p>`}
    <div class="actions">
      <button type="button" class="quiet" onClick=${() => answer(false)} data-testid="confirm-no">Cancel</button>
      <button type="button" class=${danger ? "danger" : "primary"} onClick=${() => answer(true)} data-testid="confirm-yes">${action}</button>
    </div>
  </dialog>`;
}
