/** What an audience does beside chatting: it reads the announcement, votes in a poll, asks and votes for questions. */
import { api } from "./api.js";
import { tick } from "./clock.js";
import { Ask, Check, Cross, Up } from "./icons.js";
import { kept } from "./session.js";
import { countdown } from "./time.js";
import { toast } from "./toast.js";
import { html, signal, useEffect, useRef } from "./view.js";
import { explain } from "./words.js";

const QUESTION_MAX_CHARS = 200;
const RESULT_SHOWN_MS = 120_000;

export function Announcement({ announcement }) {
  return html`<div role="status" class="announced" data-testid="announcement">${announcement && html`<p>${announcement.text}</p>`}</div>`;
}

/** One viewer's part in a show's polls and questions; what they chose outlives a reload. */
export class Part {
  constructor({ show, token, socket }) {
    Object.assign(this, { show, token, socket });
    this.store = kept(`showfloor.part.${show}`);
    this.mine = signal({ votes: {}, wanted: [], put: "", ...this.store.get() });
    this.asking = signal(false);
    this.notice = signal("");
  }

  #keep(change) {
    this.mine.value = { ...this.mine.value, ...change };
    this.store.set(this.mine.value);
  }

  /** On the socket where there is one: a whole room votes within seconds. */
  async #do(command, call) {
    if (this.socket.status === "open") return command(this.socket);
    return call(await this.token());
  }

  async vote(poll, option) {
    const before = this.mine.value.votes;
    this.#keep({ votes: { [poll]: option } });
    try {
      await this.#do((socket) => socket.vote(poll, option), (token) => api.vote(this.show, token, poll, option));
    } catch (problem) {
      this.#keep({ votes: before });
      toast(explain(problem), "bad");
    }
  }

  async want(question) {
    const before = this.mine.value.wanted;
    this.#keep({ wanted: [...before, question].slice(-200) });
    try {
      await this.#do((socket) => socket.want(question), (token) => api.want(this.show, token, question));
    } catch (problem) {
      this.#keep({ wanted: before });
      toast(explain(problem), "bad");
    }
  }

  /** True once the question is in the queue. */
  async ask(text) {
    this.notice.value = "";
    try {
      await this.#do((socket) => socket.ask(text), (token) => api.ask(this.show, token, text));
      toast("Asked. The host sees what most want to know first.");
      return true;
    } catch (problem) {
      this.notice.value = explain(problem);
      return false;
    }
  }

  /** Put a poll aside. */
  put(poll) {
    this.#keep({ put: poll });
  }
}

/** How a poll stands, in words; counts may be hidden yet. */
export function pollNote(poll) {
  const votes = `${poll.votes} ${poll.votes === 1 ? "vote" : "votes"}`;
  if (poll.closed_at_ms !== null) return `Closed, ${votes}`;
  const left = poll.closes_at_ms === null ? "" : `, ${countdown(Math.max(0, poll.closes_at_ms - tick.value))} left`;
  return poll.counts === null ? `${votes}, results from ${poll.hide_below}${left}` : `${votes}${left}`;
}

export function share(poll, option) {
  return poll.counts && poll.votes ? Math.round((100 * poll.counts[option]) / poll.votes) : null;
}

export function PollCard({ poll, part }) {
  if (!poll || part.mine.value.put === poll.poll_id) return null;
  const closed = poll.closed_at_ms !== null;
  if (closed && tick.value - poll.closed_at_ms > RESULT_SHOWN_MS) return null;
  const mine = part.mine.value.votes[poll.poll_id];
  return html`<section class="poll" aria-labelledby="poll-title" data-testid="poll">
    <header><h2 id="poll-title">${poll.question}</h2>
      <button type="button" class="plain" aria-label="Put the poll aside" data-testid="poll-close" onClick=${() => part.put(poll.poll_id)}><${Cross} /></button></header>
    <div class="options" role="group" aria-labelledby="poll-title">
      ${poll.options.map((text, option) => html`<${Option} key=${option} ...${{ poll, part, text, option, mine, closed }} />`)}
    </div>
    <p class="fine" role="status" data-testid="poll-note">${pollNote(poll)}</p>
  </section>`;
}

function Option({ poll, part, text, option, mine, closed }) {
  const percent = share(poll, option);
  return html`<button type="button" class="ballot" aria-pressed=${mine === option} disabled=${closed} data-testid="poll-option-${option}" onClick=${() => part.vote(poll.poll_id, option)}>
    ${percent !== null && html`<meter class="share" min="0" max="100" value=${percent} aria-hidden="true" />`}
    <span class="text">${text}</span>${mine === option && html`<${Check} />`}${percent !== null && html`<span class="percent">${percent} %</span>`}
  </button>`;
}

export function AskButton({ part, count }) {
  return html`<button type="button" class="bag" aria-label="Questions, ${count} open" data-testid="questions" onClick=${() => (part.asking.value = true)}><${Ask} />${count > 0 && html`<span>${count}</span>`}</button>`;
}

/** The queue as viewers see it, to vote and to ask. */
export function QuestionDrawer({ questions, part }) {
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  const close = () => (part.asking.value = false);
  const submit = async (event) => {
    event.preventDefault();
    const field = event.target.elements.question;
    if (field.value.trim() && (await part.ask(field.value.trim()))) field.value = "";
  };
  return html`<dialog ref=${dialog} class="drawer" aria-labelledby="questions-title" data-testid="question-drawer" onClose=${close} onClick=${(event) => event.target === dialog.current && close()}>
    <div class="inside">
      <header><h2 id="questions-title">Questions</h2><button type="button" class="plain" aria-label="Close" onClick=${close}><${Cross} /></button></header>
      ${questions.length === 0 && html`<p class="muted">No open questions. What would you like to know?</p>`}
      <ul class="queue" data-testid="question-list">${questions.map((each) => html`<${Asked} key=${each.question_id} ...${{ each, part }} />`)}</ul>
      <form class="ask" onSubmit=${submit}>
        <p class="notice" role="status" data-testid="question-notice">${part.notice.value}</p>
        <div class="field"><input name="question" maxlength=${QUESTION_MAX_CHARS} autocomplete="off" placeholder="Ask the host" aria-label="Ask the host" data-testid="question-input" />
          <button type="submit" data-testid="question-send">Ask</button></div>
      </form>
    </div>
  </dialog>`;
}

function Asked({ each: { question_id: id, name, text, votes }, part }) {
  const mine = part.mine.value.wanted.includes(id);
  return html`<li class="asked">
    <span><b class="who">${name}</b> <span class="text">${text}</span></span>
    <button type="button" class=${mine ? "quiet on" : "quiet"} disabled=${mine} aria-label="I want to know that, too: ${text}" data-testid="want-${id}" onClick=${() => part.want(id)}><${Up} /> ${votes}</button>
  </li>`;
}
