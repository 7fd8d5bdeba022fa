/** The chat: what was said, a field to say something, and for staff a button to take a message down. */
import { api, Problem } from "./api.js";
import { tick } from "./clock.js";
import { Bin, Send } from "./icons.js";
import { html, signal, useEffect, useRef } from "./view.js";
import { explain } from "./words.js";

const CHAT_MAX_CHARS = 500;
const NEAR_END_PX = 60;

/** Says things in one show and knows when the next may be said; `notice` is why the last one was not. */
export class Voice {
  constructor({ show, token, socket, slowModeMs = () => 0 }) {
    Object.assign(this, { show, token, socket, slowModeMs });
    this.refusedUntilMs = signal(0);
    this.saidMs = signal(-Infinity);
    this.notice = signal("");
  }

  /** Milliseconds until the server will take another message: after a refusal, and in slow mode after each. */
  waitMs() {
    const slow = this.slowModeMs();
    const free = Math.max(this.refusedUntilMs.value, slow > 0 ? this.saidMs.value + slow : 0);
    return Math.max(0, free - tick.value);
  }

  /** True once the server has taken it; it appears through the channel like everybody's. */
  async say(text) {
    this.notice.value = "";
    try {
      await this.#send(text);
      this.saidMs.value = tick.peek();
      return true;
    } catch (problem) {
      if (problem.retryAfterMs) this.refusedUntilMs.value = tick.peek() + problem.retryAfterMs;
      this.notice.value = explain(problem);
      return false;
    }
  }

  /** Never both ways: a message whose answer was lost may well have been said. */
  async #send(text) {
    if (this.socket.status === "open") return this.socket.send({ t: "chat", text });
    return api.say(this.show, await this.token(), text);
  }
}

function follows(list) {
  return list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
}

export function ChatList({ messages, me, onDelete = null }) {
  const list = useRef();
  const following = useRef(true);
  useEffect(() => {
    if (following.current) list.current.scrollTop = list.current.scrollHeight;
  }, [messages]);
  return html`<ol
    ref=${list}
    class="chat"
    role="log"
    aria-label="Chat"
    tabindex="0"
    data-testid="chat-list"
    onScroll=${() => (following.current = follows(list.current))}
  >
    ${messages.map((message) => html`<${Message} key=${message.id} ...${{ message, mine: message.account_id === me, onDelete }} />`)}
  </ol>`;
}

function Message({ message: { id, name, role, text }, mine, onDelete }) {
  return html`<li class="said ${mine ? "mine" : ""} ${role}" data-message=${id}>
    <b class="who">${name}</b>${role !== "viewer" && html`<span class="role">${role}</span>`} <span class="text">${text}</span>
    ${onDelete &&
    html`<button type="button" class="bin" aria-label="Delete the message of ${name}: ${text.slice(0, 60)}" data-testid="chat-delete-${id}" onClick=${() => onDelete(id)}><${Bin} /></button>`}
  </li>`;
}

export function ChatForm({ voice }) {
  const field = useRef();
  const waitMs = voice.waitMs();
  const submit = async (event) => {
    event.preventDefault();
    const text = field.current.value.trim();
    if (!text || voice.waitMs() > 0) return;
    field.current.value = "";
    if (!(await voice.say(text)) && field.current.value === "") field.current.value = text;
  };
  return html`<form class="say" onSubmit=${submit}>
    <p class="notice" role="status" data-testid="chat-notice">${voice.notice.value}</p>
    <div class="field">
      <input
        ref=${field}
        type="text"
        name="text"
        autocomplete="off"
        enterkeyhint="send"
        maxlength=${CHAT_MAX_CHARS}
        placeholder="Say something"
        aria-label="Say something in the chat"
        data-testid="chat-input"
      />
      <button type="submit" aria-label=${waitMs > 0 ? `Wait ${Math.ceil(waitMs / 1000)} seconds` : "Send"} disabled=${waitMs > 0} data-testid="chat-send">
        ${waitMs > 0 ? `${Math.ceil(waitMs / 1000)} s` : html`<${Send} />`}
      </button>
    </div>
  </form>`;
}

/** What staff do with a message: take it down, and say so if that fails. */
export function deleting({ show, session, say }) {
  return async (id) => {
    try {
      await api.deleteChat(show, await session.token(), id);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      say(explain(problem), "bad");
    }
  };
}
