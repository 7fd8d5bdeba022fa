/** The audience panel of the studio and the console: the queue of questions, a poll, an announcement. */
import { api } from "./api.js";
import { pollNote, share } from "./audience.js";
import { captureClock } from "./frames.js";
import { Check, Cross } from "./icons.js";
import { attempt } from "./staff.js";
import { html, signal } from "./view.js";

const OPTIONS_MAX = 6;
const HIDE_BELOW = 10;

/** `{AudiencePanel}`; `onAir()` is true while this page sends the video. */
export function audiencePanel({ show, token, store, onAir }) {
  const draft = signal(null);
  const sealed = signal(null);

  const act = (call) => attempt(async () => call(await token()));

  async function open(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const options = form.getAll("option").map((each) => each.trim()).filter(Boolean);
    const minutes = Number(form.get("minutes"));
    const asked = { question: form.get("question"), options, hide_below: Number(form.get("hide_below") || 0), ...(minutes > 0 && { duration_s: Math.round(minutes * 60) }) };
    if (await act((bearer) => api.openPoll(show, bearer, asked))) draft.value = null;
  }

  /** The staff may see counts that viewers do not see yet. */
  async function peek() {
    const page = await act((bearer) => api.polls(show, bearer));
    if (page) sealed.value = page.items[0] ?? null;
  }

  function Poll() {
    const told = store.poll.value;
    if (draft.value !== null) return html`<${Draft} />`;
    const fresh = () => (draft.value = 2);
    if (!told) return html`<button type="button" class="quiet" data-testid="poll-new" onClick=${fresh}>New poll</button>`;
    const peeked = sealed.value?.poll_id === told.poll_id && told.counts === null;
    const poll = peeked ? { ...told, counts: sealed.value.counts, votes: sealed.value.votes } : told;
    const isOpen = told.closed_at_ms === null;
    return html`<div class="poll-result" data-testid="poll-result">
      <b>${poll.question}</b>
      <ul class="list">${poll.options.map(
        (text, option) => html`<li key=${option} class="poll-line"><span>${text}</span><meter min="0" max="100" value=${share(poll, option) ?? 0} aria-hidden="true" /><span data-testid="poll-count-${option}">${poll.counts ? poll.counts[option] : "–"}</span></li>`,
      )}</ul>
      <p class="fine" role="status">${pollNote(told)}</p>
      <div class="acts">
        ${told.counts === null && html`<button type="button" class="plain" data-testid="poll-peek" onClick=${peek}>See the counts</button>`}
        ${isOpen
          ? html`<button type="button" class="quiet" data-testid="poll-end" onClick=${() => act((bearer) => api.closePoll(show, bearer, poll.poll_id))}>Close the poll</button>`
          : html`<button type="button" class="quiet" data-testid="poll-new" onClick=${fresh}>New poll</button>`}
      </div>
    </div>`;
  }

  function Draft() {
    const count = draft.value;
    return html`<form class="poll-form" onSubmit=${open}>
      <input name="question" required maxlength="120" placeholder="Question" aria-label="Question" data-testid="poll-question" autofocus />
      ${Array.from({ length: count }, (_, index) => html`<input key=${index} name="option" required=${index < 2} maxlength="60" placeholder="Option ${index + 1}" aria-label="Option ${index + 1}" data-testid="poll-option-input-${index}" />`)}
      ${count < OPTIONS_MAX && html`<button type="button" class="plain" data-testid="poll-more" onClick=${() => (draft.value = count + 1)}>Another option</button>`}
      <label>Minutes, if it ends by itself <input name="minutes" type="number" min="0.5" step="0.5" data-testid="poll-minutes" /></label>
      <label>Hide results below so many votes <input name="hide_below" type="number" min="0" step="1" defaultValue=${HIDE_BELOW} data-testid="poll-hide" /></label>
      <div class="acts"><button type="submit" class="primary" data-testid="poll-open">Open the poll</button>
        <button type="button" class="plain" onClick=${() => (draft.value = null)}>Cancel</button></div>
    </form>`;
  }

  function Queue() {
    const queue = store.questions.value;
    if (queue.length === 0) return html`<p class="muted">No open questions.</p>`;
    const answer = (id) => act((bearer) => api.answered(show, bearer, id, onAir() ? captureClock() : null));
    return html`<ol class="list queue" data-testid="queue">${queue.map(
      ({ question_id: id, name, text, votes }) => html`<li key=${id} class="asked" data-testid="question-${id}">
        <b class="votes" aria-label="${votes} votes">${votes}</b><span><b class="who">${name}</b> ${text}</span>
        <span class="acts"><button type="button" class="quiet" aria-label="Answered: ${text}" data-testid="answered-${id}" onClick=${() => answer(id)}><${Check} /></button>
          <button type="button" class="plain" aria-label="Dismiss: ${text}" data-testid="dismiss-${id}" onClick=${() => act((bearer) => api.dismissQuestion(show, bearer, id))}><${Cross} /></button></span>
      </li>`,
    )}</ol>`;
  }

  function Announce() {
    const now = store.announcement.value;
    const tell = async (event) => {
      event.preventDefault();
      const form = new FormData(event.target);
      const minutes = Number(form.get("minutes"));
      const done = await act((bearer) => api.announce(show, bearer, form.get("text"), minutes > 0 ? Math.round(minutes * 60) : null));
      if (done) event.target.reset();
    };
    return html`${now && html`<p class="announced-now" data-testid="announced-now"><span>${now.text}</span><button type="button" class="quiet" data-testid="announce-end" onClick=${() => act((bearer) => api.endAnnouncement(show, bearer))}>Take it away</button></p>`}
      <form class="announce-form" onSubmit=${tell}>
        <input name="text" required maxlength="200" placeholder="Tell everybody" aria-label="Announcement" data-testid="announce-text" />
        <input name="minutes" type="number" min="0.5" step="0.5" placeholder="min" aria-label="For how many minutes" data-testid="announce-minutes" />
        <button type="submit" class="primary" data-testid="announce">Announce</button>
      </form>`;
  }

  function AudiencePanel() {
    return html`<section class="panel audience" aria-labelledby="audience-title">
      <h2 id="audience-title">Questions</h2><${Queue} />
      <h2>Poll</h2><${Poll} />
      <h2>Announcement</h2><${Announce} />
    </section>`;
  }

  return { AudiencePanel };
}
