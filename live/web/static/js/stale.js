/**
 * Whether what a page shows may be old: its own connection is lost, or its server is cut off from the others.
 *
 * Owns: the two reasons. Invariant: it ends by itself, with the first frame that is new.
 */
import { computed, signal } from "./view.js";

const unheard = signal(false);
const cutOff = signal(false);

/** True while counts may be old. */
export const stale = computed(() => unheard.value || cutOff.value);
/** True while a server that we hear cannot hear the others: chat waits, and what is said now would be refused. */
export const waits = computed(() => cutOff.value && !unheard.value);

/** The socket's word on itself. */
export function hearStatus(status) {
  if (status === "waiting" || status === "refused") unheard.value = true;
}

/** Each frame is a sign of life; `stale` in its state is the server's word. A snapshot without it is fresh. */
export function hearFrame({ snapshot, st }) {
  unheard.value = false;
  if (snapshot || st?.stale !== undefined) cutOff.value = Boolean(st?.stale);
}
