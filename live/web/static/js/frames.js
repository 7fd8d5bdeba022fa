/**
 * Which moment of the host's is on screen: the capture time of each presented picture, on the relay's clock.
 *
 * Owns: the line from RTP timestamps to capture times. Two sources feed it, the exact one first:
 *
 * - abs-capture-time, a header extension that the page asks for in its offer: `getSynchronizationSources()` gives the
 *   RTP timestamp and the capture time of one picture.
 * - `estimatedPlayoutTimestamp` of getStats, which the browser derives from sender reports: right to a picture or two.
 *
 * Chromium's `captureTime` of a presented picture is no third one: it is null until RTCP has measured a round trip.
 * Pictures are followed only while somebody waits for one or looks at the statistics: each callback wakes the page.
 */

/** 1900 to 1970: both sources count as NTP does. */
const NTP_EPOCH_MS = 2_208_988_800_000;
const TICKS_PER_MS = 90;
const CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
const ASK_EVERY_MS = 500;
const REPORTS_HOLD_MS = 2_000;

/**
 * This moment on the clock that stamps the pictures this page publishes: monotonic from when the page was opened, as
 * WebRTC's own is from its start, so it is not moved by a machine that sets its clock. Date.now() would be.
 */
export function captureClock() {
  return performance.timeOrigin + performance.now();
}

/** Asks for capture times in the offer to come; in a browser that does not know how, the reports are left. */
export function askForCaptureTimes(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  const wanted = extensions.find(({ uri }) => uri === CAPTURE_TIME);
  if (!wanted) return;
  wanted.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

/** From RTP timestamps to milliseconds since 1970. Pure. */
export class Timeline {
  known = null;

  /** The picture of `rtp` was captured at `atMs`. */
  learn(rtp, atMs) {
    this.known = { rtp, atMs };
  }

  forget() {
    this.known = null;
  }

  /** When the picture of `rtp` was captured, across the wrap of its 32 bits; null while nothing is known. */
  at(rtp) {
    return this.known && this.known.atMs + ((rtp - this.known.rtp) | 0) / TICKS_PER_MS;
  }
}

export class Frames {
  /** `video` answers the element, `receiver` the RTCRtpReceiver of its picture; either may have none to give. */
  constructor({ video, receiver }) {
    Object.assign(this, { video, receiver });
    this.timeline = new Timeline();
    /** Where the capture times come from: "packets", "reports", or null. */
    this.source = null;
    this.followers = new Set();
    this.askedMs = -Infinity;
    this.toldMs = -Infinity;
  }

  /** True while pictures are on screen. A hidden page gets no callbacks; a paused or empty element has no pictures. */
  get areSeen() {
    const video = this.video();
    return Boolean(video?.requestVideoFrameCallback && this.receiver() && !document.hidden && !video.paused && video.readyState >= 2);
  }

  /** True once pictures have said when they were captured. */
  get areTimed() {
    return this.source !== null;
  }

  /** Looks at pictures until one says when it was captured, so that it is known before the first pin. */
  warmUp() {
    this.warming ??= this.follow((capturedMs) => {
      if (capturedMs === null) return;
      this.warming();
      this.warming = null;
    });
  }

  /**
   * Calls `onPicture(capturedMs, shownMs)` for each picture as it is presented, until the answered function is called.
   * `capturedMs` is null where it is not known; `shownMs` is performance.now()'s.
   */
  follow(onPicture) {
    this.followers.add(onPicture);
    this.#look();
    return () => this.followers.delete(onPicture);
  }

  #look() {
    const video = this.video();
    if (this.looking || this.followers.size === 0 || !video?.requestVideoFrameCallback) return;
    this.looking = true;
    video.requestVideoFrameCallback((shownMs, picture) => {
      this.looking = false;
      this.#presented(picture.rtpTimestamp, shownMs);
      this.#look();
    });
  }

  #presented(rtp, shownMs) {
    const capturedMs = rtp === undefined ? null : this.#capturedAt(rtp);
    for (const onPicture of [...this.followers]) onPicture(capturedMs, shownMs);
  }

  #capturedAt(rtp) {
    const newest = this.#newest();
    if (newest?.captureTimestamp) this.#toldByPackets(newest);
    else this.#askReports();
    return this.timeline.at(rtp);
  }

  /** The picture that left the decoder last: its RTP timestamp, and when it did. */
  #newest() {
    return this.receiver()?.getSynchronizationSources?.()[0];
  }

  #toldByPackets({ rtpTimestamp, captureTimestamp, senderCaptureTimeOffset }) {
    // The offset leads from the capturer's clock to that of the sender reports, should a relay pass the former on.
    this.timeline.learn(rtpTimestamp, captureTimestamp + (senderCaptureTimeOffset ?? 0) - NTP_EPOCH_MS);
    this.source = "packets";
  }

  /** The answer comes a little later, and holds for a while. */
  async #askReports() {
    const nowMs = performance.now();
    if (nowMs - this.toldMs > REPORTS_HOLD_MS) {
      this.timeline.forget();
      this.source = null;
    }
    if (nowMs - this.askedMs < ASK_EVERY_MS) return;
    this.askedMs = nowMs;
    const reports = await this.receiver()?.getStats().catch(() => null);
    const report = [...(reports?.values() ?? [])].find(({ type }) => type === "inbound-rtp");
    const newest = this.#newest();
    if (!report?.estimatedPlayoutTimestamp || !newest?.rtpTimestamp) return;
    // The browser's estimate is of its newest picture, moved on by the time since.
    const sinceMs = report.timestamp - newest.timestamp;
    this.timeline.learn(newest.rtpTimestamp, report.estimatedPlayoutTimestamp - NTP_EPOCH_MS - sinceMs);
    this.source = "reports";
    this.toldMs = performance.now();
  }
}
