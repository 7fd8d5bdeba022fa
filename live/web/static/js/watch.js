/** The watch page: the video first; items, chat and a purchase of at most three taps beside it. */
import { Announcement, AskButton, Part, PollCard, QuestionDrawer } from "./audience.js";
import { BasketBar, Bill } from "./bill.js";
import { BuyPanel, isOpen } from "./buy.js";
import { answerBank } from "./card.js";
import { ChatForm, ChatList, Voice } from "./chat.js";
import { claims, offers } from "./claims.js";
import { now } from "./clock.js";
import { confirm, Questions } from "./dialog.js";
import { Frames } from "./frames.js";
import { Bag, Cross } from "./icons.js";
import { found, ItemRow, PinCard } from "./items.js";
import { followSocket, Mine, MineButton, MineDrawer } from "./mine.js";
import { priceAt } from "./offers.js";
import { STRIPE_KEY } from "./payments.js";
import { PinGate } from "./pingate.js";
import { Purchase } from "./purchase.js";
import { ReactionBar, Reactions } from "./reactions.js";
import { sendReports } from "./report.js";
import { joinRoom } from "./room.js";
import { GuestSession, showOfPath } from "./session.js";
import { Badge, Curtain, Picture, SoundButton, Viewers } from "./stage.js";
import { Statistics } from "./statistics.js";
import { toast, Toasts } from "./toast.js";
import { effect, html, render, signal, useEffect, useRef } from "./view.js";
import { Waiting } from "./waiting.js";
import { marks, Player } from "./whep.js";
import { explain } from "./words.js";

/** How the socket, and how HTTP, tells somebody that a moderator sent them out. */
const BANNED = new Set([4531, "banned"]);
const showId = showOfPath();
const session = new GuestSession(showId);
const token = () => session.token();
const video = signal(null);
const playback = signal({ status: "connecting", problem: null });
const drawerOpen = signal(false);
/** What is looked for among all items. */
const sought = signal("");
const SEARCH_FROM = 4;
const player = signal(null);
const pinNotes = signal([]);

const frames = new Frames({ video: () => video.value, receiver: () => player.value?.receiver ?? null });

/** Pins wait for their picture; all else the socket says passes at once. */
function behindPictures(apply) {
  const isOff = () => player.value?.hostPresent === false;
  const onNote = (notes) => (marks.pins = pinNotes.value = notes);
  const gate = new PinGate({ apply, frames, isOff, onNote });
  return (frame) => gate.take(frame);
}

/** How old the newest word of the server may be before its crowd's cheers are no news any more. */
const LAG_MS = 3_000;
let heardMs = 0;

/** What is said to this account alone. */
const hear = {
  claim: (event) => hearClaim(event),
  offer: (event) => {
    waiting.hear(event);
    mine.changed();
  },
  order: async (event) => {
    if (await purchase.hear(event)) mine.changed(); // its panel says so
    else mine.hearOrder(event);
  },
};

function onFrame(frame) {
  (frame.ev ?? []).forEach((event) => hear[event.t]?.(event));
  if (frame.snapshot || frame.recovered !== undefined) waiting.soon();
  const totals = frame.st?.reactions;
  if (totals) reactions.hear(totals, !frame.snapshot && frame.recovered === undefined && performance.now() - heardMs < LAG_MS);
  heardMs = performance.now();
}

const { store, socket, status, problem, reload } = joinRoom({ show: showId, session, through: behindPictures, onFrame });
const purchase = new Purchase({
  show: showId,
  token,
  bill: (hold) => new Bill({ show: showId, token, hold, pinned: () => (store.show.value ? (store.show.value.coupon ?? null) : undefined) }),
  answerBank: STRIPE_KEY ? (secret) => answerBank(STRIPE_KEY, secret) : null,
});
const hearClaim = claims(purchase);
const waiting = new Waiting({
  show: showId,
  token,
  onOffer: offers(purchase),
  onPassed: () => toast(explain({ code: "limit_reached" }), "bad"),
});
const voice = new Voice({ show: showId, token, socket, slowModeMs: () => store.show.value?.slow_mode_ms ?? 0, isOpen: () => store.show.value?.chat_open !== false });

// Somebody who has just come has nothing yet; a whole audience must not ask for it.
const returning = session.id !== null;
const mine = new Mine({ show: showId, token, purchase, known: () => returning || voice.saidMs.peek() > 0 });
followSocket(mine, status);

const part = new Part({ show: showId, token, socket });
const still = matchMedia("(prefers-reduced-motion: reduce)");
const reactions = new Reactions({ socket, calm: () => still.matches || document.hidden || status.value !== "open" });

function watchVideo(element) {
  video.value = element;
  const mine = new Player({
    show: showId,
    token,
    video: element,
    renew: () => session.forget(),
    onStatus: (now, more) => {
      playback.value = { status: now, problem: now === "refused" ? more : null };
      if (now === "playing") frames.warmUp();
    },
  });
  mine.start();
  player.value = mine;
}

// A host who is away is no reason to reconnect; an ended show is one to let go.
effect(() => {
  const show = store.show.value;
  const mine = player.value;
  if (!mine || !show) return;
  const flows = show.state === "live" && show.video?.open !== false;
  mine.hostPresent = show.host_present && flows;
  mine.hush(!flows);
  if (show.state === "ended" || BANNED.has(problem.value?.code)) mine.stop();
  else mine.start();
  if (flows) mine.hurry();
});

async function buy(item, quantity) {
  drawerOpen.value = false;
  const seen = item.parts ? null : priceAt(item, now()).amount;
  const refused = await purchase.take(item.variant_id, quantity, seen);
  if (refused) toast(explain(refused), "bad");
  if (refused?.code === "price_changed") await reload();
}

async function wait(item) {
  try {
    await waiting.join(item.variant_id);
  } catch (problem) {
    if (problem.code === "conflict") await buy(item, 1); // one has come back meanwhile
    else toast(explain(problem), "bad");
  }
}

/** What every way to buy needs to know. */
function buying(item) {
  const show = store.show.value;
  return {
    item,
    stock: store.stock.value[item.variant_id],
    open: show.sales_open && show.state !== "scheduled",
    busy: purchase.stage.value === "holding",
    onBuy: buy,
    place: waiting.places.value[item.variant_id],
    onWait: wait,
    onLeave: ({ variant_id }) => waiting.leave(variant_id).catch((problem) => toast(explain(problem), "bad")),
  };
}

// On a phone there is room for one card and a bit: what the host has just pinned comes into view.
function Cards({ pinned }) {
  const list = useRef();
  const newest = pinned.at(-1)?.variant_id;
  useEffect(() => list.current.scrollTo({ left: list.current.scrollWidth, top: list.current.scrollHeight }), [newest]);
  return html`<ul ref=${list} class="cards" data-testid="pins">
    ${pinned.map((item) => html`<${PinCard} key=${item.variant_id} ...${buying(item)} />`)}
  </ul>`;
}

function Shelf() {
  if (isOpen(purchase)) return html`<${BuyPanel} purchase=${purchase} items=${store.items.value} />`;
  const pinned = store.pinned.value;
  const show = store.show.value;
  return html`<section class="shelf" aria-label="Shown now">
    ${show?.rehearsal_of && html`<p class="closed" role="status" data-testid="rehearsal">This is a rehearsal: nothing is really sold.</p>`}
    ${show && !show.sales_open && html`<p class="closed" role="status" data-testid="sales-closed">Sales are closed at the moment.</p>`}
    <${BasketBar} bill=${purchase.bill} onOpen=${() => purchase.payKept()} />
    <${Cards} pinned=${pinned} />
  </section>`;
}

async function forgetMe() {
  const text = "What you hold goes back on sale when its time is up. Your orders stand, but this browser shows them no more: keep their numbers or receipts.";
  if (await confirm({ title: "Forget you on this device?", text, action: "Forget me", back: "Stay" })) session.leave();
}

function Drawer() {
  const dialog = useRef();
  useEffect(() => dialog.current.showModal(), []);
  const close = () => (drawerOpen.value = false);
  const items = found(store.items.value, sought.value);
  // A tap beside the panel lands on the dialog itself: that is its backdrop.
  return html`<dialog ref=${dialog} class="drawer" aria-labelledby="drawer-title" data-testid="drawer" onClose=${close} onClick=${(event) => event.target === dialog.current && close()}>
    <div class="inside">
      <header><h2 id="drawer-title">All items</h2><button type="button" class="plain" aria-label="Close" onClick=${close}><${Cross} /></button></header>
      <p class="fine">Or say it in the chat: "buy 2", or "buy" and the name.</p>
      ${store.items.value.length >= SEARCH_FROM && html`<input type="search" class="search" placeholder="Search" aria-label="Search all items" value=${sought.value} onInput=${({ target }) => (sought.value = target.value)} data-testid="search" />`}
      ${items.length === 0 && html`<p class="muted" role="status">Nothing here is called so.</p>`}
      <ul class="rows">${items.map((item) => html`<${ItemRow} key=${item.variant_id} ...${buying(item)} />`)}</ul>
      <p class="fine">This browser keeps what you hold and have ordered here. <button type="button" class="link" data-testid="forget-me" onClick=${forgetMe}>Forget me on this device</button></p>
    </div>
  </dialog>`;
}

const CONNECTION = { waiting: "Reconnecting…", refused: "Chat and stock are not live. Reload the page." };

function Bar() {
  const show = store.show.value;
  return html`<header class="bar">
    <a class="brand" href="/" aria-label="Showfloor, all shows">S</a>
    <h1>${show?.title ?? ""}</h1>
    <span class="facts">
      ${show && html`<${Badge} state=${show.state} />`}
      <${Viewers} viewers=${store.viewers.value} />
    </span>
  </header>`;
}

function Watch() {
  const count = store.items.value.length;
  return html`<main class="watch ${isOpen(purchase) ? "buying" : ""}">
      <section class="stage" aria-label="Video">
        <${Picture} onVideo=${watchVideo} />
        <${Curtain} show=${store.show.value} playback=${playback.value} problem=${problem.value} />
        <${Bar} />
        ${store.show.value?.state !== "ended" && html`<${SoundButton} video=${video} />`}
        <${ReactionBar} reactions=${reactions} totals=${store.reactions.value} />
        <${Statistics} peer=${() => player.value?.peer} frames=${frames} notes=${pinNotes} onRow=${(row) => (marks.statistics = row)} />
      </section>
      <div class="side">
        <${Announcement} announcement=${store.announcement.value} />
        ${!isOpen(purchase) && html`<${PollCard} poll=${store.poll.value} part=${part} />`}
        <${Shelf} />
        <${ChatList} messages=${store.chat.value} onTop=${store.onTop.value} me=${session.id} voice=${voice} />
        <div class="foot">
          <p class="connection" role="status" data-testid="connection" data-status=${status.value}>${BANNED.has(problem.value?.code) ? explain({ code: "banned" }) : (CONNECTION[status.value] ?? "")}</p>
          <${ChatForm} voice=${voice} />
          <${AskButton} part=${part} count=${store.questions.value.length} />
          <${MineButton} mine=${mine} />
          <button type="button" class="bag" aria-label="All ${count} items" data-testid="all-items" onClick=${() => {
            sought.value = "";
            drawerOpen.value = true;
          }}>
            <${Bag} /><span>${count}</span>
          </button>
        </div>
      </div>
    </main>
    ${drawerOpen.value && html`<${Drawer} />`}
    ${mine.open.value && html`<${MineDrawer} mine=${mine} items=${store.items.value} />`}
    ${part.asking.value && html`<${QuestionDrawer} questions=${store.questions.value} part=${part} />`}
    <${Questions} /><${Toasts} />`;
}

sendReports({ player: () => player.value, frames, socket, isOn: () => Boolean(player.value?.hostPresent) });
render(html`<${Watch} />`, document.getElementById("app"));
purchase.resume();
purchase.bill.resume();
mine.refresh();
session.onLeft(() => location.reload());
