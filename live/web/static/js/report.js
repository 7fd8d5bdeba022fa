/**
 * Tells the server now and then how the picture was: how much of the time it stood still, and how old it was.
 *
 * Owns: one small report every fifteen seconds, only of a visible page whose host was on air all the while. It says
 * nothing about the person; the server adds all viewers' up. A lost report is not sent again.
 */
import { now } from "./clock.js";
import { reading } from "./statistics.js";

const EVERY_MS = 15_000;
const PICTURES = 15;
const LOOK_MS = 2_000;
const MAX_AGE_MS = 60_000;

/** What happened between two readings of one peer, as the server wants it; null if that says nothing. Pure. */
export function reportOf(before, after, ages, session) {
  const watchedMs = Math.round(after.atMs - before.atMs);
  if (!(watchedMs >= 1_000 && watchedMs <= 120_000)) return null;
  const frozenMs = Math.round((after.frozenS - before.frozenS) * 1000);
  const sorted = [...ages].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  return {
    t: "watched",
    watched_ms: watchedMs,
    frozen_ms: Math.min(Math.max(0, frozenMs), watchedMs),
    age_ms: median === undefined ? null : Math.round(Math.min(Math.max(0, median), MAX_AGE_MS)),
    session: session?.split("/").at(-1) ?? "",
  };
}

/** The ages of the next few presented pictures; fewer, or none, if they do not come or have no capture time. */
function agesOf(frames) {
  return new Promise((resolve) => {
    const ages = [];
    let seen = 0;
    const done = () => {
      unfollow();
      clearTimeout(timer);
      resolve(ages);
    };
    const timer = setTimeout(done, LOOK_MS);
    const unfollow = frames.follow((capturedMs, shownMs) => {
      if (capturedMs !== null) ages.push(now() - (performance.now() - shownMs) - capturedMs);
      if (++seen >= PICTURES) done();
    });
  });
}

/** `player` answers the Player or null; `isOn()` is true while a moving picture is to be expected. */
export function sendReports({ player, frames, socket, isOn, everyMs = EVERY_MS }) {
  let before = null;
  const look = async () => {
    const mine = player();
    const peer = mine?.peer;
    if (!peer || document.hidden || !isOn() || mine.status !== "playing") {
      before = null;
      return;
    }
    const reports = await peer.getStats().catch(() => null);
    if (!reports) return;
    const after = { ...reading(reports.values()), peer };
    const last = before;
    before = after;
    if (last?.peer !== peer) return;
    const report = reportOf(last, after, await agesOf(frames), mine.session);
    if (report) socket.send(report).catch(() => {});
  };
  // Viewers who came together with the first minute of a show do not report together.
  setTimeout(() => {
    look();
    setInterval(look, everyMs);
  }, Math.random() * everyMs);
}
