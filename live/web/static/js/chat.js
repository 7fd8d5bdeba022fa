/** The chat: what was said, what stands on top of it, a field to say something, and for staff what keeps it in order. */
import { api } from "./api.js";
import { tick } from "./clock.js";
import { Bin, Cross, More, Pin, Reply, Send } from "./icons.js";
import { waits } from "./stale.js";
import { html, signal, useEffect, useRef } from "./view.js";
import { explain } from "./words.js";

const CHAT_MAX_CHARS = 500;
const WAITS = "The chat waits for a moment, and goes on by itself. What you typed stays.";
const PAUSED = "Chat is paused";
const NEAR_END_PX = 60;

/** Says things in one show and knows when the next may be said; `notice` is why the last one was not. */
export class Voice {
  constructor({ show, token, socket, slowModeMs = () => 0, isOpen = () => true }) {
    Object.assign(this, { show, token, socket, slowModeMs, isOpen });
    this.refusedUntilMs = signal(0);
    this.saidMs = signal(-Infinity);
    this.notice = signal("");
    /** The message that the next one answers; null: none. */
    this.answering = signal(null);
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
      await this.#send(text, this.answering.peek()?.id ?? "");
      this.answering.value = null;
      this.saidMs.value = tick.peek();
      return true;
    } catch (problem) {
      if (problem.retryAfterMs) this.refusedUntilMs.value = tick.peek() + problem.retryAfterMs;
      this.notice.value = explain(problem);
      return false;
    }
  }

  /** Never both ways: a message whose answer was lost may well have been said. */
  async #send(text, replyTo) {
    if (this.socket.status === "open") return this.socket.chat(text, replyTo);
    return api.say(this.show, await this.token(), text, replyTo);
  }
}

function follows(list) {
  return list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
}

/** `staff` is what `Moderator` of moderation.js offers; without it there is only the answer. */
export function ChatList({ messages, onTop = null, me, voice, staff = null }) {
  const list = useRef();
  const following = useRef(true);
  useEffect(() => {
    if (following.current) list.current.scrollTop = list.current.scrollHeight;
  }, [messages]);
  return html`${onTop && html`<${OnTop} message=${onTop} staff=${staff} />`}<ol
    ref=${list}
    class="chat"
    role="log"
    aria-label="Chat"
    tabindex="0"
    data-testid="chat-list"
    onScroll=${() => (following.current = follows(list.current))}
  >
    ${messages.map((message) => html`<${Message} key=${message.id} ...${{ message, mine: message.account_id === me, voice, staff }} />`)}
  </ol>`;
}

function OnTop({ message: { name, text }, staff }) {
  return html`<p class="on-top" data-testid="chat-on-top">
    <${Pin} /><span><b class="who">${name}</b> <span class="text">${text}</span></span>
    ${staff && html`<button type="button" class="plain" aria-label="Take this message away from the top" data-testid="chat-unpin" onClick=${staff.unpin}><${Cross} /></button>`}
  </p>`;
}

function Message({ message, mine, voice, staff }) {
  const { id, name, role = "viewer", text, reply_to: answered } = message;
  const short = `${name}: ${text.slice(0, 60)}`;
  return html`<li class="said ${mine ? "mine" : ""} ${role}" data-message=${id}>
    ${answered && html`<span class="answered"><b>${answered.name}</b> ${answered.text}</span>`}
    <span class="saying"><b class="who">${name}</b>${role !== "viewer" && html`<span class="role">${role}</span>`} <span class="text">${text}</span></span>
    <span class="acts">
      <button type="button" class="bin reply" aria-label="Answer ${short}" data-testid="chat-reply-${id}" onClick=${() => (voice.answering.value = message)}><${Reply} /></button>
      ${staff &&
      html`<button type="button" class="bin" aria-label="Delete the message of ${short}" data-testid="chat-delete-${id}" onClick=${() => staff.takeDown(id)}><${Bin} /></button>
        <button type="button" class="bin" aria-label="More for the message of ${short}" data-testid="chat-more-${id}" onClick=${() => staff.choose(message)}><${More} /></button>`}
    </span>
  </li>`;
}

export function ChatForm({ voice }) {
  const field = useRef();
  const waitMs = voice.waitMs();
  const answering = voice.answering.value;
  const paused = !voice.isOpen();
  const stopped = waits.value || paused;
  useEffect(() => answering && field.current.focus(), [answering]);
  useEffect(() => void (voice.notice.value = ""), [stopped]); // what was refused because of it is said no longer
  const submit = async (event) => {
    event.preventDefault();
    const text = field.current.value.trim();
    if (!text || stopped || voice.waitMs() > 0) return;
    field.current.value = "";
    if (!(await voice.say(text)) && field.current.value === "") field.current.value = text;
  };
  return html`<form class="say" onSubmit=${submit}>
    <p class="notice" role="status" data-testid="chat-notice">${voice.notice.value || (waits.value ? WAITS : "")}</p>
    ${answering &&
    html`<p class="answering" data-testid="chat-answering">
      <span>Answer to <b>${answering.name}</b>: ${answering.text}</span>
      <button type="button" class="plain" aria-label="Do not answer" onClick=${() => (voice.answering.value = null)}><${Cross} /></button>
    </p>`}
    <div class="field">
      <input
        ref=${field}
        type="text"
        name="text"
        autocomplete="off"
        enterkeyhint="send"
        maxlength=${CHAT_MAX_CHARS}
        placeholder=${paused ? PAUSED : "Say something"}
        readonly=${paused}
        aria-label=${paused ? PAUSED : "Say something in the chat"}
        data-testid="chat-input"
      />
      <button type="submit" aria-label=${waitMs > 0 ? `Wait ${Math.ceil(waitMs / 1000)} seconds` : "Send"} disabled=${stopped || waitMs > 0} data-testid="chat-send">
        ${waitMs > 0 ? `${Math.ceil(waitMs / 1000)} s` : html`<${Send} />`}
      </button>
    </div>
  </form>`;
}
