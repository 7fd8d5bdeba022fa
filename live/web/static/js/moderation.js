/** What keeps a chat in order: what staff do with a message and its author, who is sanctioned, what may not be said. */
import { api } from "./api.js";
import { tick } from "./clock.js";
import { choose } from "./dialog.js";
import { attempt } from "./staff.js";
import { countdown } from "./time.js";
import { toast } from "./toast.js";
import { html, signal, useEffect, useRef } from "./view.js";

const FIVE_MINUTES_S = 300;
const KINDS = { mute: "Muted", shadow_ban: "Shadow ban", ban: "Banned" };
const SLOW_MODES = [0, 2_000, 5_000, 10_000, 30_000, 60_000];
const LINKS = { viewer: "Everybody", moderator: "Moderators", host: "The host", operator: "Operators" };

/** `{takeDown, choose, unpin}` for `ChatList`, and `onChange`, called when somebody was sanctioned. */
export class Moderator {
  constructor({ show, token, onChange = () => {} }) {
    Object.assign(this, { show, token, onChange });
  }

  takeDown = (id) => attempt(async () => api.deleteChat(this.show, await this.token(), id));
  unpin = () => attempt(async () => api.unpinChat(this.show, await this.token()));

  async sanction({ account_id: account, name }, kind, more = {}) {
    const done = await attempt(async () => api.sanction(this.show, await this.token(), account, { kind, name, ...more }));
    if (done) toast(`${KINDS[kind]}: ${name}`);
    this.onChange();
  }

  choose = async (message) => {
    const act = await choose({
      title: message.name,
      text: message.text,
      actions: [
        { name: "pin", words: "Put on top of the chat" },
        { name: "mute", words: "Mute for 5 minutes" },
        { name: "mute_for_good", words: "Mute until lifted" },
        { name: "shadow", words: "Shadow ban: writes for nobody", danger: true },
        { name: "ban", words: "Ban, and take down what was said", danger: true },
      ],
    });
    if (act === "pin") await attempt(async () => api.pinChat(this.show, await this.token(), message.id));
    if (act === "mute") await this.sanction(message, "mute", { duration_s: FIVE_MINUTES_S });
    if (act === "mute_for_good") await this.sanction(message, "mute");
    if (act === "shadow") await this.sanction(message, "shadow_ban");
    if (act === "ban") await this.sanction(message, "ban", { take_down: true });
  };
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** `SlowMode`: the least time between two messages of one viewer, to be chosen. */
export function slowMode({ show, token, store }) {
  return function SlowMode() {
    const now = store.show.value?.slow_mode_ms ?? 0;
    const choices = SLOW_MODES.includes(now) ? SLOW_MODES : [...SLOW_MODES, now].sort((a, b) => a - b);
    const choose = ({ target }) => attempt(async () => store.loaded(await api.setSlowMode(show, await token(), Number(target.value))));
    return html`<label class="slow">Slow mode
      <select value=${now} onChange=${choose} data-testid="slow-mode">
        ${choices.map((ms) => html`<option key=${ms} value=${ms}>${ms === 0 ? "Off" : `${ms / 1000} s`}</option>`)}
      </select>
    </label>`;
  };
}

/** Who is sanctioned, and what may be said, which a host decides (`mayRule`); `refetch` is called when something changed elsewhere. */
export function moderationPanel({ show, token, mayRule = true }) {
  const sanctions = signal([]);
  const rules = signal(null);

  async function refetch() {
    const page = await attempt(async () => api.sanctions(show, await token()));
    if (page) sanctions.value = page.items;
    rules.value ??= await attempt(async () => api.chatRules(show, await token()));
  }

  async function lift({ account_id: account }) {
    await attempt(async () => api.lift(show, await token(), account));
    await refetch();
  }

  async function save(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const asked = { ...rules.value, links_from: form.get("links_from"), blocked: lines(form.get("blocked")), allowed: lines(form.get("allowed")) };
    const done = await attempt(async () => api.setChatRules(show, await token(), asked));
    if (!done) return;
    rules.value = done;
    toast("Saved");
  }

  function Rules() {
    const form = useRef();
    const { links_from: links, blocked, allowed } = rules.value;
    return html`<form ref=${form} onSubmit=${save}><fieldset class="rules" disabled=${!mayRule}>
      <label>Links may be posted by
        <select name="links_from" value=${links} data-testid="links-from">
          ${Object.entries(LINKS).map(([role, words]) => html`<option key=${role} value=${role} selected=${role === links}>${words}</option>`)}
        </select>
      </label>
      <label>Words that may not be said, one a line
        <textarea name="blocked" rows="3" data-testid="blocked-words">${blocked.join("\n")}</textarea>
      </label>
      <label>Words that always may
        <textarea name="allowed" rows="2" data-testid="allowed-words">${allowed.join("\n")}</textarea>
      </label>
      ${mayRule ? html`<button type="submit" class="primary" data-testid="rules-save">Save</button>` : html`<p class="muted">The host decides on these.</p>`}
    </fieldset></form>`;
  }

  function Sanction({ one }) {
    const left = one.until_ms === null ? "until lifted" : countdown(Math.max(0, one.until_ms - tick.value));
    return html`<li class="hold" data-testid="sanction-${one.account_id}">
      <span>${one.name}</span><span class="muted">${KINDS[one.kind]}, ${left}</span>
      <button type="button" class="quiet" aria-label="Lift the sanction of ${one.name}" data-testid="lift-${one.account_id}" onClick=${() => lift(one)}>Lift</button>
    </li>`;
  }

  /** Apart from the form, which a tick of the clock must not touch. */
  function Sanctions() {
    const open = sanctions.value.filter((one) => one.until_ms === null || one.until_ms > tick.value);
    if (open.length === 0) return html`<p class="muted">Nobody is muted or banned.</p>`;
    return html`<ul class="list" data-testid="sanctions">${open.map((one) => html`<${Sanction} key=${one.account_id} one=${one} />`)}</ul>`;
  }

  function ModerationPanel() {
    useEffect(() => void refetch(), []);
    return html`<section class="panel moderation" aria-labelledby="moderation-title">
      <h2 id="moderation-title">Moderation</h2>
      <${Sanctions} />
      <details><summary>What may be said</summary>${rules.value && html`<${Rules} />`}</details>
    </section>`;
  }

  return { ModerationPanel, refetch };
}
