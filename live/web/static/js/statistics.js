/**
 * The viewer's own statistics: how old the picture is, how near the pins were to theirs, and what the network does.
 *
 * Owns: the panel on the watch page, shown by `?stats` in the address or Shift+Alt+S, and the one reading a second
 * behind it. Nothing is measured while nobody looks, but the notes on pins.
 */
import { now } from "./clock.js";
import { Cross } from "./icons.js";
import { html, signal, useEffect } from "./view.js";

const EVERY_MS = 1_000;

export const shown = signal(new URLSearchParams(location.search).has("stats"));

/** The value below which 95 of a hundred lie; null of none. Pure. */
export function p95(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.ceil(0.95 * sorted.length) - 1] : null;
}

/** What the statistics of a peer say by now, as one flat record. Pure. */
export function reading(reports) {
  const all = [...reports];
  const of = (type, kind) => all.find((report) => report.type === type && (!kind || report.kind === kind)) ?? {};
  const video = of("inbound-rtp", "video");
  const audio = of("inbound-rtp", "audio");
  const pair = all.find((report) => report.type === "candidate-pair" && report.nominated) ?? {};
  const codec = all.find((report) => report.id === video.codecId)?.mimeType ?? "";
  const sum = (field) => (video[field] ?? 0) + (audio[field] ?? 0);
  return {
    atMs: video.timestamp ?? 0,
    bytes: sum("bytesReceived"),
    packets: sum("packetsReceived"),
    lost: sum("packetsLost"),
    frames: video.framesDecoded ?? 0,
    bufferS: video.jitterBufferDelay ?? 0,
    buffered: video.jitterBufferEmittedCount ?? 0,
    freezes: video.freezeCount ?? 0,
    frozenS: video.totalFreezesDuration ?? 0,
    size: video.frameWidth ? `${video.frameWidth}x${video.frameHeight}` : "",
    codec: codec.replace("video/", ""),
    roundTripMs: pair.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
  };
}

/** What happened between two readings. Pure. */
export function rates(before, after) {
  const seconds = (after.atMs - before.atMs) / 1000;
  if (!(seconds > 0)) return null;
  const packets = after.packets - before.packets;
  const lost = Math.max(0, after.lost - before.lost);
  const emitted = after.buffered - before.buffered;
  return {
    bitrateBps: ((after.bytes - before.bytes) * 8) / seconds,
    framesPerSecond: (after.frames - before.frames) / seconds,
    lossPercent: packets + lost > 0 ? (100 * lost) / (packets + lost) : 0,
    bufferMs: emitted > 0 ? ((after.bufferS - before.bufferS) * 1000) / emitted : null,
  };
}

/** One reading a second of `peer()`, and the age of the last presented picture, to `onRow`. Answers how to end it. */
function watch({ peer, frames, onRow }) {
  let ageMs = null;
  let before = null;
  const unfollow = frames.follow((capturedMs, shownMs) => {
    // From the moment it was shown to the server's clock, as this page knows it.
    ageMs = capturedMs === null ? null : now() - (performance.now() - shownMs) - capturedMs;
  });
  const read = async () => {
    const reports = await peer()?.getStats().catch(() => null);
    if (!reports) return;
    const after = reading(reports.values());
    const change = before && rates(before, after);
    before = after;
    if (change) onRow({ ...after, ...change, ageMs, source: frames.source });
    ageMs = null;
  };
  read();
  const timer = setInterval(read, EVERY_MS);
  return () => {
    clearInterval(timer);
    unfollow();
  };
}

const ms = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} ms`);

/** `[label, value, name]` of each line of the panel. */
function lines(read, notes) {
  const skews = notes.filter(({ skewMs }) => skewMs !== null).map(({ skewMs }) => skewMs);
  return [
    ["Picture's age", ms(read?.ageMs), "age"],
    ["Pin's skew", skews.length ? `${ms(skews.at(-1))}, p95 ${ms(p95(skews.map(Math.abs)))} of ${skews.length}` : "–", "skew"],
    ["Pictures", read ? `${Math.round(read.framesPerSecond)}/s, ${read.size} ${read.codec}` : "–", "frames"],
    ["Bit rate", read ? `${Math.round(read.bitrateBps / 1000)} kbit/s` : "–", "bitrate"],
    ["Loss", read ? `${read.lossPercent.toFixed(1)} %` : "–", "loss"],
    ["Freezes", read ? `${read.freezes}, ${read.frozenS.toFixed(1)} s` : "–", "freezes"],
    ["Buffer", ms(read?.bufferMs), "buffer"],
    ["Round trip", ms(read?.roundTripMs), "roundtrip"],
  ];
}

const row = signal(null);

/** `peer` answers the RTCPeerConnection; `notes` is a signal of the gate's notes on pins. */
export function Statistics({ peer, frames, notes, onRow = () => {} }) {
  useEffect(() => {
    const toggle = (event) => event.shiftKey && event.altKey && event.code === "KeyS" && (shown.value = !shown.value);
    addEventListener("keydown", toggle);
    return () => removeEventListener("keydown", toggle);
  }, []);
  useEffect(() => {
    if (!shown.value) return undefined;
    return watch({ peer, frames, onRow: (read) => onRow((row.value = read)) });
  }, [shown.value]);
  if (!shown.value) return null;
  return html`<aside class="statistics" aria-label="Statistics" data-testid="statistics">
    <dl>${lines(row.value, notes.value).map(([label, value, name]) => html`<dt>${label}</dt><dd data-testid="statistics-${name}">${value}</dd>`)}</dl>
    <button type="button" class="plain" aria-label="Close the statistics" onClick=${() => (shown.value = false)}><${Cross} /></button>
  </aside>`;
}
