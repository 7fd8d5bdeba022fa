/**
 * Publishes a camera by WHIP, and publishes again by itself when the connection breaks.
 *
 * One show has one host: who is replaced by another one is told, and does not take the show back unasked, or two open
 * studios would throw each other out for ever.
 *
 * Owns: one peer connection; the MediaStream belongs to the page, which shows and swaps it. Reports "connecting",
 * "live", "waiting" (with the pause), "stopped", "replaced" and "refused" (with the Problem) to `onStatus`, and once a second
 * `{bitrateBps, framesPerSecond, codec}` to `onStats`.
 */
import { api } from "./api.js";
import { preferring } from "./codecs.js";
import { counters, farewell, hangUp, isOver, offerTo } from "./rtc.js";

const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 10_000;
const DISCONNECTED_MS = 3_000;
const CONNECT_MS = 10_000;
const STATS_MS = 1_000;
const ASK_EVERY = 3;
/** The server reports once a second. After so much silence it is asked whether it still has the session: a worker may
 * have died, and ICE takes five seconds and more to say so. */
const UNHEARD_MS = 1_900;

/** Three layers of 720p, lowest first; a browser leaves out those that a smaller camera has no use for. */
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 600_000 },
  { rid: "f", maxBitrate: 2_500_000 },
];
/** Of these an encoder makes several layers at too high a price, and some browsers one stream that holds them all. */
const ONE_LAYER = /^(vp9|av1)$/i;

/** Opens a camera and a microphone. Raises DOMException in the browser's words; see `explain` in words.js. */
export function openDevices({ camera, microphone }) {
  if (!navigator.mediaDevices) throw new DOMException("insecure", "InsecureContextError");
  return navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(camera && { deviceId: { exact: camera } }) },
    audio: microphone ? { deviceId: { exact: microphone } } : true,
  });
}

/** Cameras and microphones by kind; labels are empty until the first permission. */
export async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return {
    cameras: devices.filter(({ kind }) => kind === "videoinput"),
    microphones: devices.filter(({ kind }) => kind === "audioinput"),
  };
}

export class Publisher {
  constructor({ show, token, onStatus = () => {}, onStats = () => {} }) {
    Object.assign(this, { show, path: `/whip/${encodeURIComponent(show)}`, token, onStatus, onStats });
    this.failures = 0;
    /** The video format to send; "": one that plays everywhere. */
    this.format = "";
    this.leave = () => this.#hangUp();
  }

  /** Resolves once the server has accepted the first offer; raises its Problem if it refuses for good. */
  start(stream) {
    this.stream = stream;
    this.wanted = true;
    this.measured = 0;
    addEventListener("pagehide", this.leave);
    this.measuring = setInterval(() => this.#measureAlone(), STATS_MS);
    return this.#connect();
  }

  /** Swaps the tracks without a new session: a viewer sees the other camera, and no gap. */
  async replace(stream) {
    this.stream = stream;
    for (const sender of this.peer?.getSenders() ?? []) {
      const track = stream.getTracks().find(({ kind }) => kind === sender.track?.kind);
      if (track) await sender.replaceTrack(track);
    }
  }

  stop(status = "stopped") {
    this.wanted = false;
    clearInterval(this.measuring);
    removeEventListener("pagehide", this.leave);
    this.#hangUp();
    this.#say(status);
  }

  /** What became of our session: "replaced" if it was ended and somebody else's video is arriving, "over" if not; else "". */
  async #fate() {
    const { session } = this;
    if (!session || !(await isOver(session, this.bearer))) return "";
    const present = (await api.show(this.show).catch(() => null))?.host_present;
    if (session !== this.session) return "";
    return present ? "replaced" : "over";
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

  #transceivers(peer) {
    for (const track of this.stream.getTracks()) {
      const init = { direction: "sendonly", streams: [this.stream] };
      if (track.kind === "video" && !ONE_LAYER.test(this.format)) init.sendEncodings = LAYERS.map((layer) => ({ ...layer }));
      const transceiver = peer.addTransceiver(track, init);
      if (track.kind === "video") transceiver.setCodecPreferences?.(preferring(this.format));
    }
  }

  async #connect() {
    this.#hangUp();
    this.#say("connecting");
    const peer = (this.peer = new RTCPeerConnection());
    this.#transceivers(peer);
    this.sent = null;
    peer.onconnectionstatechange = () => peer === this.peer && this.#connection(peer.connectionState);
    this.timer = setTimeout(() => peer === this.peer && this.#again(), CONNECT_MS);
    try {
      const session = await offerTo(this.path, peer, async () => (this.bearer = await this.token()));
      if (peer === this.peer) this.session = session;
      else if (session) farewell(session, this.bearer);
    } catch (problem) {
      if (peer === this.peer) return this.#failed(problem);
    }
    return undefined;
  }

  #connection(state) {
    clearTimeout(this.lapse);
    if (state === "connected") {
      clearTimeout(this.timer);
      this.failures = 0;
      this.#say("live");
    }
    if (state === "failed") this.#again();
    if (state === "disconnected") this.lapse = setTimeout(() => this.#again(), DISCONNECTED_MS);
  }

  #failed(problem) {
    const passing = problem.status === 0 || problem.status === 409 || problem.status === 429 || problem.status >= 500;
    if (passing) {
      this.#again(problem.retryAfterMs ?? 0);
      return undefined;
    }
    this.stop();
    this.#say("refused", problem);
    throw problem;
  }

  async #again(atLeastMs = 0) {
    const fate = await this.#fate();
    if (!this.wanted) return;
    if (fate === "replaced") return this.stop("replaced");
    return this.#later(atLeastMs);
  }

  #later(atLeastMs = 0) {
    this.#hangUp();
    const backoff = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.failures) * (0.5 + Math.random() / 2);
    const pause = Math.max(backoff, atLeastMs);
    this.failures += 1;
    this.#say("waiting", pause);
    this.timer = setTimeout(() => this.#connect().catch(() => {}), pause);
    return undefined;
  }

  /** True if the server has not reported on what we send for a while, or never has: it may have died before it could. */
  async #isUnheard(peer) {
    const reportMs = await heardAt(peer);
    const now = performance.now();
    // A browser may forget an old report altogether: that is silence, too.
    const isNews = this.heard?.peer !== peer || (reportMs > 0 && this.heard.reportMs !== reportMs);
    if (isNews) this.heard = { peer, reportMs, sinceMs: now };
    return now - this.heard.sinceMs >= UNHEARD_MS;
  }

  /** One after the other: a server that is asked may take its time. */
  async #measureAlone() {
    if (this.isMeasuring) return;
    this.isMeasuring = true;
    await this.#measure().finally(() => (this.isMeasuring = false));
  }

  async #measure() {
    const { peer } = this;
    if (peer?.connectionState !== "connected") return undefined;
    this.measured += 1;
    const unheard = await this.#isUnheard(peer);
    if (unheard || this.measured % ASK_EVERY === 0) {
      const fate = await this.#fate();
      if (peer !== this.peer || !this.wanted) return undefined;
      if (fate === "replaced") return this.stop("replaced");
      if (fate === "over" && unheard) return this.#later();
    }
    const now = { ...(await counters(peer, "outbound-rtp")), atMs: performance.now() };
    if (peer !== this.peer) return undefined;
    const { sent } = this;
    this.sent = now;
    if (!sent) return undefined;
    const seconds = (now.atMs - sent.atMs) / 1000;
    this.onStats({ bitrateBps: ((now.bytes - sent.bytes) * 8) / seconds, framesPerSecond: (now.frames - sent.frames) / seconds, codec: sentCodec(peer) });
    return undefined;
  }
}

/** When the server's newest receiver report came; 0 before the first. */
async function heardAt(peer) {
  const reports = Array.from((await peer.getStats()).values());
  return Math.max(0, ...reports.filter(({ type }) => type === "remote-inbound-rtp").map(({ timestamp }) => timestamp));
}

/** The video format that was agreed on. */
function sentCodec(peer) {
  const video = peer.getSenders().find(({ track }) => track?.kind === "video");
  return video?.getParameters().codecs?.[0]?.mimeType.split("/")[1] ?? "";
}
