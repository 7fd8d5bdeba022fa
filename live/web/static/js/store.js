/**
 * What a page knows of one show: a pure reducer over frames and REST answers, and signals derived from it.
 *
 * Owns: the meaning of every event and state key in schema/wire.py. `reduce` and `loaded` are pure.
 * Invariant: an unknown event or key changes nothing, so that an older page survives a newer server.
 */
import { asItem, bundleStock } from "./offers.js";
import { computed, signal } from "./view.js";

export const CHAT_MAX = 200;

export const EMPTY = Object.freeze({
  /** The show as REST told it; null until then. */
  about: null,
  /** The fields of it that the socket has told since, which is nearer to now. */
  live: {},
  items: [],
  pins: [],
  stock: {},
  chat: [],
  /** The message that the staff put on top of the chat. */
  onTop: null,
  viewers: null,
  /** What the staff tell everybody. */
  announcement: null,
  /** The newest poll; how many reactions of each kind; the queue of questions, and their votes by id. */
  poll: null,
  reactions: {},
  questions: [],
  votes: {},
  /** Pin and price events heard since the last REST request began; they are newer than its answer. */
  since: [],
});

const QUIET = { announcement: null, poll: null, reactions: {}, questions: [], votes: {} };

const patch = (state, fields) => ({ ...state, live: { ...state.live, ...fields } });
const without = (list, value) => list.filter((each) => each !== value);

const EVENTS = {
  chat: (state, event) =>
    state.chat.some((each) => each.id === event.id) ? state : { ...state, chat: [...state.chat, event].slice(-CHAT_MAX) },
  chat_deleted: (state, { id }) => ({
    ...state,
    chat: state.chat.filter((each) => each.id !== id),
    onTop: state.onTop?.id === id ? null : state.onTop,
  }),
  chat_pin: (state, { message }) => ({ ...state, onTop: message }),
  chat_unpin: (state) => ({ ...state, onTop: null }),
  announcement: (state, { announcement }) => ({ ...state, announcement }),
  announcement_over: (state) => ({ ...state, announcement: null }),
  pin: (state, { variant_id }) => ({ ...state, pins: [...without(state.pins, variant_id), variant_id] }),
  unpin: (state, { variant_id }) => ({ ...state, pins: without(state.pins, variant_id) }),
  price: (state, { variant_id, price }) => ({
    ...state,
    items: state.items.map((item) => (item.variant_id === variant_id ? { ...item, price, flash: null } : item)),
  }),
  sold_out: (state, { variant_id }) => withAvailable(state, variant_id, 0),
  back_in_stock: (state, { variant_id, available }) => withAvailable(state, variant_id, available),
  show: (state, { state: to }) => patch(state, { state: to }),
  sales: (state, { open }) => patch(state, { sales_open: open }),
};

const KEYS = {
  poll: (state, poll) => ({ ...state, poll }),
  reactions: (state, reactions) => ({ ...state, reactions: reactions ?? {} }),
  questions: (state, questions) => ({ ...state, questions: questions ?? [] }),
  question_votes: (state, votes) => ({ ...state, votes: votes ?? {} }),
  viewers: (state, viewers) => ({ ...state, viewers }),
  show: (state, to) => patch(state, { state: to }),
  sales: (state, open) => patch(state, { sales_open: open }),
  host: (state, present) => patch(state, { host_present: present }),
  coupon: (state, coupon) => patch(state, { coupon }),
  chat: (state, open) => patch(state, { chat_open: open }),
  video: (state, video) => patch(state, { video }),
  run: (state, run) => patch(state, { run }),
  slow: (state, ms) => patch(state, { slow_mode_ms: ms }),
};

const REPLAYED = new Set(["pin", "unpin", "price"]);

/** `sold_out` overtakes the stock count by up to a tick, so that nobody taps on the last unit's ghost. */
function withAvailable(state, variant, available) {
  const known = state.stock[variant];
  return known ? { ...state, stock: { ...state.stock, [variant]: { ...known, available } } } : state;
}

function apply(state, event) {
  const next = EVENTS[event.t]?.(state, event) ?? state;
  return REPLAYED.has(event.t) ? { ...next, since: [...next.since, event].slice(-CHAT_MAX) } : next;
}

function withFlash(state, variant, flash) {
  const items = state.items.map((item) => (item.variant_id === variant ? { ...item, flash, price: item.flash?.instead_of ?? item.price } : item));
  return { ...state, items };
}

function assign(state, [key, value]) {
  if (key.startsWith("flash.")) return withFlash(state, key.slice(6), value);
  if (key.startsWith("stock.")) return { ...state, stock: { ...state.stock, [key.slice(6)]: value } };
  return KEYS[key]?.(state, value) ?? state;
}

/** The state after one frame. A snapshot forgets pins, chat and stock first; titles and images stay. */
export function reduce(state, frame) {
  const base = frame.snapshot ? { ...state, live: {}, pins: [], chat: [], onTop: null, stock: {}, since: [], ...QUIET } : state;
  const heard = (frame.ev ?? []).reduce(apply, base);
  return Object.entries(frame.st ?? {}).reduce(assign, heard);
}

/** The state after `GET /api/v1/shows/{show}`: the answer, then whatever was heard while it was on its way. */
export function loaded(state, show) {
  const { items: single, bundles = [], pins, ...about } = show;
  const items = [...single, ...bundles.map((bundle, index) => asItem(bundle, single.length + index))];
  const stock = { ...Object.fromEntries(single.map((item) => [item.variant_id, item.stock])), ...state.stock };
  const base = { ...state, about, items: [...items].sort((a, b) => a.position - b.position), pins, stock };
  return state.since.reduce((known, event) => EVENTS[event.t](known, event), base);
}

/** Signals over one show. Each derived signal changes only when its own part does. */
export function createStore() {
  const state = signal(EMPTY);
  const part = (choose) => computed(() => choose(state.value));
  const about = part((known) => known.about);
  const live = part((known) => known.live);
  return {
    state,
    show: computed(() => about.value && { ...about.value, ...live.value }),
    items: part(({ items }) => items),
    /** Of bundles too, as their parts allow. */
    stock: computed(() => {
      const { items, stock } = state.value;
      const bundles = items.filter((item) => item.parts).map((item) => [item.variant_id, bundleStock(item, stock)]);
      return bundles.length ? { ...stock, ...Object.fromEntries(bundles.filter(([, each]) => each)) } : stock;
    }),
    pins: part(({ pins }) => pins),
    chat: part(({ chat }) => chat),
    onTop: part(({ onTop }) => onTop),
    viewers: part(({ viewers }) => viewers),
    announcement: part(({ announcement }) => announcement),
    poll: part(({ poll }) => poll),
    reactions: part(({ reactions }) => reactions),
    /** Those with most votes first, each with its `votes`. */
    questions: computed(() => {
      const { questions, votes } = state.value;
      return questions.map((each) => ({ ...each, votes: votes[each.question_id] ?? 0 })).sort((a, b) => b.votes - a.votes);
    }),
    pinned: part(({ pins, items }) => pins.map((pin) => items.find((item) => item.variant_id === pin)).filter(Boolean)),
    apply: (frame) => (state.value = reduce(state.value, frame)),
    /** Call before asking for the show, so that what is heard meanwhile is kept apart. */
    loading: () => (state.value = { ...state.value, since: [] }),
    loaded: (show) => (state.value = loaded(state.value, show)),
  };
}
