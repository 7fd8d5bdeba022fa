/** The studio: the host's camera, the items to pin, the chat, and the state of the show. */
import { api, intent } from "./api.js";
import { AirLine, Camera, Pickers, Preview } from "./camera.js";
import { ChatForm, ChatList, Voice } from "./chat.js";
import { now, tick } from "./clock.js";
import { confirm, Questions } from "./dialog.js";
import { captureClock } from "./frames.js";
import { Pin } from "./icons.js";
import { Name, StockNote, Thumb } from "./items.js";
import { Moderator, moderationPanel, slowMode } from "./moderation.js";
import { decimal, digits, minorUnits, money } from "./money.js";
import { couponWords, flashAt, PriceTag } from "./offers.js";
import { LowStock } from "./low.js";
import { audiencePanel } from "./podium.js";
import { joinRoom } from "./room.js";
import { draggable, inOrder, moved, Movers, Prompter } from "./run.js";
import { showOfPath, StaffSession } from "./session.js";
import { attempt, gateWords, isLockedOut, TokenGate, TopBar } from "./staff.js";
import { SwitchNotes } from "./switches.js";
import { toast, Toasts } from "./toast.js";
import { effect, html, render, signal } from "./view.js";
import { explain } from "./words.js";

const showId = showOfPath();
const session = new StaffSession(showId, "studio");
const root = document.getElementById("app");

function start() {
  const token = () => session.token();
  const low = new LowStock();
  const { store, socket, status, problem } = joinRoom({ show: showId, session, onFrame: (frame) => low.notice(frame, nameOf, leftOf) });
  const leftOf = (variant) => store.stock.value[variant]?.available ?? "few";
  const nameOf = (variant) => {
    const item = store.items.value.find((each) => each.variant_id === variant);
    return item ? `${item.title}${item.option && `, ${item.option}`}` : variant;
  };
  const voice = new Voice({ show: showId, token, socket });
  const { ModerationPanel, refetch: refetchSanctions } = moderationPanel({ show: showId, token });
  const moderator = new Moderator({ show: showId, token, onChange: refetchSanctions });
  const SlowMode = slowMode({ show: showId, token, store });
  const camera = new Camera({ show: showId, token });
  effect(() => camera.hold(camera.live && store.show.value?.state === "paused"));
  const { AudiencePanel } = audiencePanel({ show: showId, token, store, onAir: () => camera.live });
  const busy = signal(false);
  const editing = signal(null);

  const changeTo = (state) => attempt(async () => store.loaded(await api.setState(showId, await token(), state)));

  async function goLive() {
    busy.value = true;
    try {
      if (!camera.stream.value && !(await camera.open())) return;
      await camera.publish();
      if (store.show.value?.state !== "live") await changeTo("live");
    } catch (refused) {
      toast(explain(refused, "publish"), "bad");
    } finally {
      busy.value = false;
    }
  }

  /** Off the air on purpose: the viewers get the curtain, not a frozen picture. */
  async function stop() {
    camera.stop();
    if (store.show.value?.state === "live") await changeTo("paused");
  }

  async function endShow() {
    const yes = await confirm({ title: "End the show?", text: "It cannot go live again. Buyers keep what they hold.", action: "End the show" });
    if (!yes) return;
    if (await changeTo("ended")) camera.stop();
  }

  /** Try everything out in a show of its own; its pages need a token of their own. */
  async function rehearse() {
    const yes = await confirm({ title: "Rehearse this show?", text: "You get a copy with the same items and stock. Whatever is bought there counts nowhere.", action: "Rehearse", danger: false });
    if (!yes) return;
    const begun = await attempt(async () => api.rehearse(showId, await token(), true));
    if (begun) location.assign(`/studio/${encodeURIComponent(begun.rehearsal_id)}#token=${begun.token}`);
  }

  async function endRehearsal() {
    const ended = await attempt(async () => api.rehearse(showId, await token(), false));
    if (!ended) return;
    camera.stop();
    location.assign(`/studio/${encodeURIComponent(ended.show_id)}`);
  }

  function RehearsalNote() {
    const show = store.show.value;
    if (!show?.rehearsal_of) return null;
    const watch = `/watch/${encodeURIComponent(showId)}`;
    return html`<p class="rehearsal-note" role="status" data-testid="rehearsal">
      <b>Rehearsal.</b> Nothing here counts. <a href=${watch} target="_blank" rel="noopener">See it as a viewer</a>
      <button type="button" class="quiet" data-testid="rehearsal-end" onClick=${endRehearsal}>End the rehearsal</button>
    </p>`;
  }

  function Controls() {
    const show = store.show.value;
    const ended = show?.state === "ended";
    return html`<div class="controls">
      ${camera.live
        ? html`<button type="button" class="danger big" data-testid="stop" onClick=${stop}>Stop</button>`
        : html`<button type="button" class="primary big" disabled=${busy.value || ended || !show} data-testid="golive" onClick=${goLive}>Go live</button>`}
      ${show?.state === "scheduled" && !show.rehearsal_of && html`<button type="button" class="quiet big" data-testid="rehearse" onClick=${rehearse}>Rehearse</button>`}
      ${show?.state === "live" && html`<button type="button" class="quiet big" data-testid="pause" onClick=${() => changeTo("paused")}>Pause</button>`}
      ${show?.state === "paused" && (camera.live || show.host_present) && html`<button type="button" class="primary big" data-testid="resume" onClick=${() => changeTo("live")}>Resume</button>`}
      ${show && show.state !== "ended" && show.state !== "scheduled" && html`<button type="button" class="quiet big" data-testid="end" onClick=${endShow}>End show</button>`}
    </div>`;
  }

  const flashing = signal(null);

  /** Another price for so many units and minutes: what is announced stands. */
  function Flash({ item }) {
    const { variant_id: variant, price } = item;
    const running = flashAt(item, tick.value);
    if (running) {
      const end = () => attempt(async () => api.endFlash(showId, await token(), variant));
      return html`<button type="button" class="plain" aria-label="End the flash price of ${item.title}" data-testid="flash-end-${variant}" onClick=${end}>End flash</button>`;
    }
    if (flashing.value !== variant) {
      return html`<button type="button" class="plain" aria-label="Flash price for ${item.title} ${item.option}" data-testid="flash-${variant}" onClick=${() => (flashing.value = variant)}>Flash</button>`;
    }
    const key = intent();
    const begin = async (event) => {
      event.preventDefault();
      const form = new FormData(event.target);
      const amount = minorUnits(form.get("price"), price.currency);
      if (amount === null) return toast(`That is not a price in ${price.currency}.`, "bad");
      const asked = { price_amount: amount, quantity: Number(form.get("units")), ends_at_ms: Math.round(now() + Number(form.get("minutes")) * 60_000) };
      if (await attempt(async () => api.beginFlash(showId, await token(), key, variant, asked))) flashing.value = null;
      return undefined;
    };
    return html`<form class="price-form" onSubmit=${begin}>
      <input name="price" inputmode="decimal" placeholder="price" aria-label="Flash price in ${price.currency}" data-testid="flash-price-${variant}" required autofocus />
      <input name="units" type="number" min="1" step="1" placeholder="units" aria-label="Units at this price" data-testid="flash-units-${variant}" required />
      <input name="minutes" type="number" min="0.5" step="0.5" defaultValue="2" aria-label="Minutes" data-testid="flash-minutes-${variant}" required />
      <button type="submit" class="primary" data-testid="flash-begin-${variant}">Begin</button>
      <button type="button" class="plain" onClick=${() => (flashing.value = null)}>Cancel</button>
    </form>`;
  }

  const coupons = signal([]);
  const loadCoupons = async () => {
    const page = await api.coupons(showId, await token()).catch(() => null);
    if (page) coupons.value = page.items;
  };

  /** The coupon offered to everybody who watches; their pages apply it without typing. */
  function Coupons() {
    const pinned = store.show.value?.coupon?.code;
    if (coupons.value.length === 0) return null;
    const toggle = (code) =>
      attempt(async () => (code === pinned ? api.unpinCoupon(showId, await token()) : api.pinCoupon(showId, await token(), code)));
    return html`<h2>Coupons</h2>
      <ul class="rows" data-testid="coupons">${coupons.value.map(
        (coupon) => html`<li key=${coupon.code} class="row ${coupon.code === pinned ? "pinned" : ""}">
          <div class="about"><span class="name">${coupon.code}</span><span class="line">${words(coupon)}, used ${coupon.used} times</span></div>
          <button type="button" class=${coupon.code === pinned ? "quiet" : "primary"} aria-label="${coupon.code === pinned ? "Unpin" : "Pin"} coupon ${coupon.code}" data-testid="coupon-${coupon.code}" onClick=${() => toggle(coupon.code)}>
            <${Pin} /> ${coupon.code === pinned ? "Unpin" : "Pin"}
          </button>
        </li>`,
      )}</ul>`;
  }

  const words = ({ percent_bp, amount, minimum }) => {
    const currency = store.show.value?.currency ?? "EUR";
    return couponWords({ percent_bp, amount: amount === null ? null : { amount, currency }, minimum: { amount: minimum, currency } });
  };

  function Price({ item }) {
    const { variant_id: variant, price } = item;
    if (item.parts || flashAt(item, tick.value)) return html`<${PriceTag} item=${item} testid="price-${variant}" />`;
    if (editing.value !== variant) {
      return html`<button type="button" class="price link" aria-label="Change the price of ${item.title}, now ${money(price)}" data-testid="price-${variant}" onClick=${() => (editing.value = variant)}>
        ${money(price)}
      </button>`;
    }
    const save = async (event) => {
      event.preventDefault();
      const amount = minorUnits(new FormData(event.target).get("price"), price.currency);
      if (amount === null) return toast(`That is not a price in ${price.currency}.`, "bad");
      const done = await attempt(async () => api.setPrice(showId, await token(), variant, amount));
      if (done) editing.value = null;
      return undefined;
    };
    return html`<form class="price-form" onSubmit=${save}>
      <input name="price" inputmode="decimal" defaultValue=${decimal(price.amount, digits(price.currency))} aria-label="New price in ${price.currency}" data-testid="price-input-${variant}" autofocus />
      <button type="submit" class="primary" data-testid="price-save-${variant}">Save</button>
      <button type="button" class="plain" onClick=${() => (editing.value = null)}>Cancel</button>
    </form>`;
  }

  const ordered = () => inOrder(store.items.value, store.show.value?.run);

  const move = (variant, index) =>
    attempt(async () => store.loaded(await api.setRun(showId, await token(), moved(ordered().map((item) => item.variant_id), variant, index))));

  /** The moment of the video that is shown now, if it is this page that sends it. */
  const capturedNow = () => (camera.live ? captureClock() : null);

  const showNext = (next, now) => {
    const capturedAtMs = capturedNow();
    return attempt(async () => {
      await api.pin(showId, await token(), next.variant_id, capturedAtMs);
      if (now) await api.unpin(showId, await token(), now.variant_id);
    });
  };

  function Item({ item, index, last }) {
    const { variant_id: variant } = item;
    const pinned = store.pins.value.includes(variant);
    const toggle = () => {
      const capturedAtMs = capturedNow();
      return attempt(async () => (pinned ? api.unpin(showId, await token(), variant) : api.pin(showId, await token(), variant, capturedAtMs)));
    };
    return html`<li class="row ${pinned ? "pinned" : ""}" data-testid="item-${variant}" ...${draggable(variant, index, move)}>
      <${Movers} ...${{ item, index, last, onMove: move }} />
      <${Thumb} item=${item} />
      <div class="about"><${Name} item=${item} numbered /><span class="line"><${Price} item=${item} />${!item.parts && html`<${Flash} item=${item} />`}<${StockNote} item=${item} stock=${store.stock.value[variant]} /></span></div>
      <button type="button" class=${pinned ? "quiet" : "primary"} aria-label="${pinned ? "Unpin" : "Pin"} ${item.title} ${item.option}" data-testid="${pinned ? "unpin" : "pin"}-${variant}" onClick=${toggle}>
        <${Pin} /> ${pinned ? "Unpin" : "Pin"}
      </button>
    </li>`;
  }

  function Studio() {
    if (isLockedOut(problem.value)) return html`<${TokenGate} session=${session} role="host" refused=${gateWords(session, "host", problem.value)} />`;
    return html`<${TopBar} title="Studio" show=${store.show.value} viewers=${store.viewers.value} status=${status.value} />
      <${RehearsalNote} />
      <${SwitchNotes} show=${store.show.value} />
      <main class="studio">
        <section class="panel air-panel" aria-label="Camera">
          <${Preview} camera=${camera} unseen=${store.show.value?.video?.open === false} />
          <${AirLine} camera=${camera} elsewhere=${!camera.live && Boolean(store.show.value?.host_present)} />
          ${camera.problem.value && html`<p class="alert" role="alert" data-testid="camera-problem">${camera.problem.value}</p>`}
          <${Controls} />
          <${Pickers} camera=${camera} />
        </section>
        <section class="panel" aria-labelledby="items-title">
          <h2 id="items-title">Items</h2>
          <${Prompter} ordered=${ordered()} pins=${store.pins.value} questions=${store.questions.value.length} onNext=${showNext} />
          <ul class="rows" data-testid="items">${ordered().map((item, index, all) => html`<${Item} key=${item.variant_id} ...${{ item, index, last: all.length - 1 }} />`)}</ul>
          <${Coupons} />
        </section>
        <div class="right"><${AudiencePanel} />
        <section class="panel talk" aria-labelledby="chat-title">
          <header class="split"><h2 id="chat-title">Chat</h2><${SlowMode} /></header>
          <${ChatList} messages=${store.chat.value} onTop=${store.onTop.value} voice=${voice} staff=${moderator} />
          <${ChatForm} voice=${voice} />
        </section></div>
        <${ModerationPanel} />
      </main>
      <${Questions} /><${Toasts} />`;
  }

  render(html`<${Studio} />`, root);
  loadCoupons();
  camera.open();
}

const refused = gateWords(session, "host");
if (session.value && !refused) start();
else render(html`<${TokenGate} session=${session} role="host" refused=${refused} />`, root);
