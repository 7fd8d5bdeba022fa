/** The operator's switches: sales, chat and video, each stopped after a question and open again at once. */
import { api } from "./api.js";
import { confirm, confirmWithWords } from "./dialog.js";
import { attempt } from "./staff.js";
import { html } from "./view.js";

const REASON_MAX_CHARS = 200;

/** `stop` asks, and answers what to say to viewers; null: not after all. */
const SWITCHES = [
  {
    name: "sales",
    isOpen: (show) => show.sales_open,
    words: { open: "Sales are open", closed: "Sales are stopped", stop: "Stop sales", start: "Open sales" },
    stop: () => confirm({ title: "Stop all sales?", text: "New buys are refused at once. Holds and paid orders are not touched.", action: "Stop sales" }),
    start: () => confirm({ title: "Open sales again?", action: "Open sales", danger: false }),
    set: api.setSales,
  },
  {
    name: "chat",
    isOpen: (show) => show.chat_open !== false,
    words: { open: "Chat is open", closed: "Chat is paused", stop: "Pause chat", start: "Open chat" },
    stop: () => confirm({ title: "Pause the chat?", text: "Viewers read on, and cannot write or ask. You and the moderators still can. Slow mode and sanctions stay.", action: "Pause chat" }),
    start: () => true,
    set: api.switchChat,
  },
  {
    name: "video",
    isOpen: (show) => show.video?.open !== false,
    words: { open: "Video is on", closed: "Video is stopped", stop: "Stop video", start: "Let it go on" },
    stop: () =>
      confirmWithWords({
        title: "Stop the video?",
        text: "Picture and sound reach nobody from now on, and the host is told. Everybody can go on shopping.",
        label: "What viewers read, if you like",
        maxLength: REASON_MAX_CHARS,
        action: "Stop video",
      }),
    start: () => true,
    set: api.switchVideo,
  },
];

export function switches({ show: showId, token, store }) {
  function Switch({ name, isOpen, words, stop, start, set }) {
    const show = store.show.value;
    const open = isOpen(show);
    const flip = async () => {
      const said = await (open ? stop() : start());
      if (said === false || said === null) return;
      await attempt(async () => store.loaded(await set(showId, await token(), !open, typeof said === "string" ? said : undefined)));
    };
    const reason = name === "video" && !open && show.video.reason;
    return html`<div class="switch ${open ? "open" : "closed"}">
      <p class="status" role="status" data-testid="${name}-state" data-open=${String(open)}>${open ? words.open : words.closed}${reason && html`<span class="fine">${reason}</span>`}</p>
      <button type="button" class=${open ? "danger" : "primary"} data-testid="${name}-switch" onClick=${flip}>${open ? words.stop : words.start}</button>
    </div>`;
  }

  return function Switches() {
    if (!store.show.value) return null;
    return html`<section class="panel switches" aria-label="Switches">${SWITCHES.map((each) => html`<${Switch} key=${each.name} ...${each} />`)}</section>`;
  };
}

/** What the host and the moderators read of switches that are the operator's. */
export function SwitchNotes({ show }) {
  if (!show) return null;
  const { video, chat_open: chatOpen } = show;
  return html`${video?.open === false && html`<p class="stopped-note" role="alert" data-testid="video-stopped"><b>The operator has stopped the video.</b> Nobody sees or hears you. ${video.reason && html`Viewers read: ${video.reason}`}</p>`}
    ${chatOpen === false && html`<p class="stopped-note" role="status" data-testid="chat-paused"><b>The operator has paused the chat.</b> Viewers read on, and cannot write.</p>`}`;
}
