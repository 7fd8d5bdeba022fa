/** The host's camera and microphone: preview, choice of device, sound level, and the publication made of them. */
import { automatic, FORMATS, hint, remember, remembered, sendable } from "./codecs.js";
import { toast } from "./toast.js";
import { html, signal, useEffect, useRef } from "./view.js";
import { listDevices, openDevices, Publisher } from "./whip.js";
import { explain } from "./words.js";

const LEVEL_MS = 100;
const DEVICES = { video: "camera", audio: "microphone" };

/** Owns the MediaStream and the Publisher. Signals say what the page shows. */
export class Camera {
  constructor({ show, token }) {
    this.stream = signal(null);
    this.devices = signal({ cameras: [], microphones: [] });
    this.chosen = signal({ camera: "", microphone: "" });
    this.problem = signal("");
    this.held = signal(false);
    this.status = signal("idle");
    this.stats = signal(null);
    this.format = signal(remembered());
    this.publisher = new Publisher({
      show,
      token,
      onStatus: (status) => (this.status.value = status),
      onStats: (stats) => (this.stats.value = stats),
    });
    navigator.mediaDevices?.addEventListener("devicechange", async () => {
      await this.#list();
      await this.#mend();
    });
  }

  get live() {
    return ["connecting", "live", "waiting"].includes(this.status.value);
  }

  /** Opens the chosen devices; a running publication goes on with the new tracks. */
  async open(chosen = this.chosen.value) {
    try {
      // Before the old one stops: a camera that fails to open leaves the picture as it is.
      const stream = await openDevices(chosen);
      const old = this.stream.value;
      this.stream.value = stream;
      this.chosen.value = { camera: idOf(stream.getVideoTracks()), microphone: idOf(stream.getAudioTracks()) };
      this.problem.value = "";
      this.#gate();
      stream.getTracks().forEach((track) => track.addEventListener("ended", () => this.#mend()));
      if (this.live) await this.publisher.replace(stream);
      old?.getTracks().forEach((track) => track.stop());
      await this.#list();
      return true;
    } catch (refused) {
      this.problem.value = explain(refused);
      return false;
    }
  }

  /** In a break nothing of the devices leaves this page: silence and black, in the same session. */
  hold(isHeld) {
    this.held.value = isHeld;
    this.#gate();
  }

  #gate() {
    for (const track of this.stream.value?.getTracks() ?? []) track.enabled = !this.held.value;
  }

  /** A device that was unplugged is replaced by another one; without any the host is told, and tried again when one comes. */
  async #mend() {
    const lost = (this.stream.value?.getTracks() ?? []).filter(({ readyState }) => readyState === "ended");
    if (this.mending || lost.length === 0) return;
    this.mending = true;
    const names = lost.map(({ kind }) => DEVICES[kind]).sort();
    const what = names.join(" and ");
    const rest = { ...this.chosen.value, ...Object.fromEntries(names.map((name) => [name, ""])) };
    const isMended = (await this.open(rest)) || (await this.open({}));
    if (isMended) toast(`Your ${what} was disconnected. Another one is in use now.`, "bad");
    else this.problem.value = `Your ${what} was disconnected. Plug it in again, or choose another one.`;
    this.mending = false;
  }

  async #list() {
    this.devices.value = await listDevices();
  }

  /** Publishes; raises the server's Problem. */
  async publish() {
    this.stats.value = null;
    this.publisher.format = this.format.value;
    await this.publisher.start(this.stream.value);
  }

  stop() {
    this.publisher.stop();
    this.stats.value = null;
  }
}

/** The device that the browser chose, so that the pickers show it. */
function idOf([track]) {
  return track?.getSettings().deviceId ?? "";
}

/** Calls `onLevel` with 0 to 1 while the stream has sound. Answers how to end that. */
function meter(stream, onLevel) {
  if (!stream.getAudioTracks().length) return () => {};
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  // A context made before the first click stays silent until one.
  const wake = () => context.resume();
  addEventListener("pointerdown", wake, { once: true });
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    // -60 dB to 0 dB on the meter.
    onLevel(Math.min(1, Math.max(0, 1 + Math.log10(Math.max(rms, 1e-3)) / 3)));
  }, LEVEL_MS);
  return () => {
    clearInterval(timer);
    removeEventListener("pointerdown", wake);
    context.close();
  };
}

function Level({ stream }) {
  const bar = useRef();
  useEffect(() => meter(stream, (level) => bar.current && (bar.current.value = level)), [stream]);
  return html`<label class="level">Sound<meter ref=${bar} min="0" max="1" low="0.1" data-testid="level" /></label>`;
}

export function Preview({ camera, unseen = false }) {
  const video = useRef();
  const stream = camera.stream.value;
  useEffect(() => {
    video.current.muted = true; // one's own voice a moment later is unbearable
    video.current.srcObject = stream;
  }, [stream]);
  return html`<div class="preview ${camera.live && !camera.held.value ? "on-air" : ""}">
    <video ref=${video} autoplay playsinline data-testid="preview" aria-label="Your camera" />
    ${!stream && html`<p class="hint">${camera.problem.value || "Your camera appears here."}</p>`}
    ${camera.held.value && html`<p class="hint" data-testid="held">A short break: your camera and microphone are off until you resume.</p>`}
    ${camera.live && !camera.held.value && html`<span class="badge ${unseen ? "paused" : "live"}">${unseen ? "Nobody sees you" : "On air"}</span>`}
  </div>`;
}

function Picker({ label, testid, devices, value, onPick }) {
  return html`<label>${label}
    <select value=${value} onChange=${({ target }) => onPick(target.value)} disabled=${devices.length === 0} data-testid=${testid}>
      ${devices.map(({ deviceId, label: name }, index) => html`<option key=${deviceId} value=${deviceId}>${name || `${label} ${index + 1}`}</option>`)}
    </select>
  </label>`;
}

/** Which format is sent and who may miss it; fixed while on air, since another one needs another session. */
function FormatPicker({ camera }) {
  const format = camera.format.value;
  const can = sendable();
  const { level, text } = hint(format);
  const pick = ({ target }) => remember((camera.format.value = target.value));
  return html`<label class="format">Video format
      <select value=${format} onChange=${pick} disabled=${camera.live} aria-describedby="codec-hint" data-testid="codec">
        <option value="">Automatic${automatic() && ` (${automatic()})`}</option>
        ${FORMATS.map((each) => html`<option key=${each} value=${each} disabled=${!can.includes(each)}>${each}${can.includes(each) ? "" : ", not in this browser"}</option>`)}
      </select>
    </label>
    <p id="codec-hint" class="codec-hint ${level}" role="status" data-testid="codec-hint" data-level=${level}>${text}</p>`;
}

export function Pickers({ camera }) {
  const { cameras, microphones } = camera.devices.value;
  const chosen = camera.chosen.value;
  const pick = (part) => camera.open({ ...chosen, ...part });
  return html`<div class="pickers">
    <${Picker} label="Camera" testid="camera" devices=${cameras} value=${chosen.camera} onPick=${(id) => pick({ camera: id })} />
    <${Picker} label="Microphone" testid="microphone" devices=${microphones} value=${chosen.microphone} onPick=${(id) => pick({ microphone: id })} />
    <${FormatPicker} camera=${camera} />
    ${camera.stream.value && html`<${Level} stream=${camera.stream.value} />`}
  </div>`;
}

const WORDS = { idle: "Off air", stopped: "Off air", refused: "Off air", replaced: "Another host took over", connecting: "Connecting…", live: "On air", waiting: "Connection lost, trying again…" };

/** `elsewhere`: video of the show arrives from somebody else, OBS perhaps. */
export function AirLine({ camera, elsewhere }) {
  const stats = camera.live ? camera.stats.value : null;
  const words = elsewhere && camera.status.value !== "replaced" ? "Another source is on air" : camera.held.value ? "In a break" : WORDS[camera.status.value];
  return html`<p class="air ${camera.status.value}" role="status" data-testid="air" data-status=${camera.status.value}>
    <b>${words}</b>
    ${stats && html`<span data-testid="bitrate">${Math.round(stats.bitrateBps / 1000)} kbit/s, ${Math.round(stats.framesPerSecond)} frames/s${stats.codec && `, ${stats.codec}`}</span>`}
  </p>`;
}
