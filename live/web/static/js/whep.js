/**
 * Plays a show by WHEP, and comes back by itself: after a lost connection, a silent network, a returned host.
 *
 * Owns: one peer connection and the <video> it feeds. Reports "connecting", "playing", "waiting" (with the pause)
 * and "refused" (with the Problem) to `onStatus`. The element is never emptied on a reconnect: the last picture
 * stays until the next one, which is kinder than black.
 */
import { askForCaptureTimes } from "./frames.js";
import { counters, farewell, hangUp, isOver, offerTo } from "./rtc.js";

const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 12_000;
const DISCONNECTED_MS = 3_000;
const SILENT_MS = 5_000;
/** After so much silence, and again, the server is asked whether it still has the session: a worker may have died. */
const ASK_MS = 1_500;
const WATCH_MS = 500;
const CONNECT_MS = 10_000;
/** All who were kept out come back at one word: spread over so much. */
const HURRY_MS = 1_000;

/** What tests and benchmarks read: when the first frame was on screen, and how often we had to come back. */
export const marks = (window.__showfloor ??= { firstFrameMs: null, firstFrameAfterOfferMs: null, joins: 0 });

/** True for an answer that another try cannot mend. */
function isFinal(problem) {
  return [400, 403, 406, 415, 422].includes(problem.status);
}

export class Player {
  /** `token` answers a Bearer token; `renew` is told when the server no longer takes it. */
  constructor({ show, token, video, onStatus = () => {}, renew = () => {} }) {
    Object.assign(this, { path: `/whep/${encodeURIComponent(show)}`, token, video, onStatus, renew });
    this.failures = 0;
    this.hostPresent = true;
    this.hushed = false;
    /** The video was stopped when we came: `hurry` is told when it goes on. */
    this.held = false;
    this.leave = () => this.stop();
    this.back = (event) => event.persisted && this.start();
  }

  /** What receives the picture; null without a connection. */
  get receiver() {
    return this.peer?.getReceivers().find(({ track }) => track.kind === "video") ?? null;
  }

  start() {
    if (this.watching) return;
    this.watching = setInterval(() => this.#watch(), WATCH_MS);
    addEventListener("pagehide", this.leave);
    addEventListener("pageshow", this.back);
    this.#connect();
  }

  /** Silent behind the curtain, whoever is heard there: the viewer's own choice of sound stays as it is. */
  hush(isHushed) {
    this.hushed = isHushed;
    for (const track of this.video.srcObject?.getAudioTracks() ?? []) track.enabled = !isHushed;
  }

  stop() {
    clearInterval(this.watching);
    this.watching = null;
    removeEventListener("pagehide", this.leave);
    this.#hangUp();
  }

  /** What kept us from playing is over: no reason to wait much longer. */
  hurry() {
    if (!this.watching || this.status !== "waiting" || !this.held) return;
    this.held = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#connect(), Math.random() * HURRY_MS);
  }

  #say(status, more = null) {
    this.status = status;
    this.onStatus(status, more);
  }

  #hangUp() {
    clearTimeout(this.timer);
    clearTimeout(this.lapse);
    hangUp(this.peer, this.session, this.bearer);
    this.peer = null;
    this.session = null;
  }

  async #connect() {
    this.#hangUp();
    this.#say("connecting");
    const peer = (this.peer = new RTCPeerConnection());
    const stream = new MediaStream();
    askForCaptureTimes(peer.addTransceiver("video", { direction: "recvonly" }));
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = ({ track }) => this.#show(peer, stream, track);
    peer.onconnectionstatechange = () => peer === this.peer && this.#connection(peer.connectionState);
    this.silentMs = 0;
    this.seen = { bytes: 0, frames: 0 };
    this.timer = setTimeout(() => peer === this.peer && this.#again(), CONNECT_MS);
    marks.joins += 1;
    const offeredMs = performance.now();
    this.#markFirstFrame(offeredMs);
    try {
      const session = await offerTo(this.path, peer, async () => (this.bearer = await this.token()));
      if (peer === this.peer) this.session = session;
      else if (session) farewell(session, this.bearer);
    } catch (problem) {
      if (peer === this.peer) this.#failed(problem);
    }
  }

  #show(peer, stream, track) {
    if (peer !== this.peer) return;
    stream.addTrack(track);
    if (this.video.srcObject !== stream) this.video.srcObject = stream;
    this.hush(this.hushed);
    // Muted playback is always allowed; with sound it needs a tap, which the page offers.
    this.video.play().catch(() => {
      this.video.muted = true;
      this.video.play().catch(() => {});
    });
  }

  #markFirstFrame(offeredMs) {
    this.video.requestVideoFrameCallback?.((shownMs) => {
      marks.firstFrameMs ??= shownMs;
      marks.firstFrameAfterOfferMs ??= shownMs - offeredMs;
    });
  }

  #connection(state) {
    clearTimeout(this.lapse);
    if (state === "connected") clearTimeout(this.timer);
    if (state === "failed") this.#again();
    // "disconnected" often mends itself within a second or two (a change of network, a lost check).
    if (state === "disconnected") this.lapse = setTimeout(() => this.#again(), DISCONNECTED_MS);
  }

  /** Frames for a visible page, bytes for a hidden one, whose browser may stop decoding to save power. */
  async #watch() {
    const { peer } = this;
    if (!peer || peer.connectionState !== "connected") return;
    const now = await counters(peer, "inbound-rtp");
    if (peer !== this.peer) return;
    const moved = document.hidden ? now.bytes > this.seen.bytes : now.frames > this.seen.frames;
    this.seen = now;
    if (moved) {
      this.failures = 0;
      this.silentMs = 0;
      if (this.status !== "playing") this.#say("playing");
      return;
    }
    this.silentMs += WATCH_MS;
    if (this.silentMs % ASK_MS === 0 && this.session && (await isOver(this.session, this.bearer))) {
      if (peer === this.peer) this.#again();
      return;
    }
    if (!this.hostPresent) this.silentMs = Math.min(this.silentMs, ASK_MS);
    if (this.silentMs >= SILENT_MS) this.#again();
  }

  #failed(problem) {
    if (isFinal(problem)) {
      this.#hangUp();
      this.#say("refused", problem);
    } else {
      if (problem.status === 401) this.renew();
      this.held = problem.code === "video_stopped";
      this.#again(problem.retryAfterMs ?? 0);
    }
  }

  #again(atLeastMs = 0) {
    this.#hangUp();
    const backoff = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.failures) * (0.5 + Math.random() / 2);
    const pause = Math.max(backoff, atLeastMs);
    this.failures += 1;
    this.#say("waiting", pause);
    this.timer = setTimeout(() => this.#connect(), pause);
  }
}
