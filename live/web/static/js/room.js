/**
 * A page's connection to its show: the store, fed by REST once and by the socket from then on.
 *
 * Owns: when the show is asked for again: after each snapshot, which forgets prices changed before it.
 */
import { api, sleep } from "./api.js";
import { learn } from "./clock.js";
import { ShowSocket } from "./socket.js";
import { hearFrame, hearStatus } from "./stale.js";
import { createStore } from "./store.js";
import { computed, signal } from "./view.js";

const RETRY_MS = 2_000;
const RETRY_CAP_MS = 20_000;

/**
 * `{store, socket, status, problem, refuse, reload}` of `show`; `session` gives tickets. Starts at once.
 *
 * `through(apply)` answers what takes the socket's frames in place of the store's own `apply`.
 */
export function joinRoom({ show, session, onFrame = () => {}, through = (apply) => apply }) {
  const store = createStore();
  const take = through(store.apply);
  const status = signal("connecting");
  const refused = signal(null);
  const unread = signal(null);
  const problem = computed(() => refused.value ?? unread.value);

  const reload = async () => {
    store.loading();
    store.loaded(await api.show(show));
    unread.value = null;
  };

  const load = async () => {
    for (let pause = RETRY_MS; ; pause = Math.min(RETRY_CAP_MS, pause * 2)) {
      try {
        return await reload();
      } catch (trouble) {
        unread.value = trouble;
        if (trouble.status === 404) return undefined;
        await sleep(pause);
      }
    }
  };

  const socket = new ShowSocket({
    show,
    ticket: () => session.ticket(),
    onFrame: (frame) => {
      hearFrame(frame);
      take(frame);
      if (frame.snapshot) load();
      onFrame(frame);
    },
    onStatus: (now, more) => {
      hearStatus(now);
      status.value = now;
      if (now === "refused") refused.value = more;
    },
    onPong: learn,
  });
  load();
  socket.open();
  // A page in the back-forward cache has lost its socket; one that is left for good says goodbye.
  addEventListener("pagehide", () => socket.close());
  addEventListener("pageshow", (event) => event.persisted && socket.open());
  return { show, store, socket, status, problem, refuse: (trouble) => (refused.value = trouble), reload };
}
