/** The picture: the video, and what lies over it when there is none to see. */
import { tick } from "./clock.js";
import { Eye, Muted, Sound } from "./icons.js";
import { count, countdown, dateTime } from "./time.js";
import { html, signal, useEffect, useRef } from "./view.js";
import { explain, STATES } from "./words.js";

const muted = signal(true);
const landscape = signal(false);

export function Picture({ onVideo }) {
  const video = useRef();
  useEffect(() => {
    const element = video.current;
    // The muted attribute alone, set after creation, does not count for a browser's autoplay policy.
    element.muted = true;
    const onResize = () => (landscape.value = element.videoWidth > element.videoHeight);
    const onVolume = () => (muted.value = element.muted || element.volume === 0);
    element.addEventListener("resize", onResize);
    element.addEventListener("volumechange", onVolume);
    onVideo(element);
  }, []);
  return html`<video ref=${video} class=${landscape.value ? "landscape" : "portrait"} autoplay playsinline data-testid="video" aria-label="Live video of the show" />`;
}

export function SoundButton({ video }) {
  const toggle = () => {
    video.value.muted = !video.value.muted;
    video.value.play().catch(() => {});
  };
  return html`<button
    type="button"
    class="round ${muted.value ? "invite" : ""}"
    aria-label=${muted.value ? "Turn the sound on" : "Turn the sound off"}
    data-testid="sound"
    onClick=${toggle}
  >
    ${muted.value ? html`<${Muted} /><span>Tap for sound</span>` : html`<${Sound} />`}
  </button>`;
}

export function Badge({ state }) {
  return html`<span class="badge ${state}" data-testid="show-state" data-state=${state}>${STATES[state]}</span>`;
}

export function Viewers({ viewers }) {
  const number = viewers ?? 0;
  return html`<span class="viewers"><${Eye} /><span data-testid="viewers" data-count=${number}>${count(number)}</span><span class="unseen"> watching</span></span>`;
}

/** The words over the picture, or nothing when the picture speaks for itself. */
function overlay(show, playback, problem) {
  if (problem?.status === 404) return { kind: "end", title: "There is no such show", text: "It may have moved.", hub: true };
  if (!show) return { kind: "wait", title: "One moment…" };
  if (show.state === "scheduled") return { kind: "countdown" };
  if (show.state === "paused") return { kind: "curtain", title: "A short break", text: "The show goes on in a moment. You can shop meanwhile." };
  if (show.state === "ended") return { kind: "end", title: "The show has ended", text: "Thank you for watching. You can still shop while stock lasts.", hub: true };
  if (show.video?.open === false) return { kind: "stopped", title: "The video is stopped", text: show.video.reason || "It goes on by itself. You can shop meanwhile." };
  if (playback.status === "refused") return { kind: "away", title: "The video cannot be played", text: explain(playback.problem) };
  if (!show.host_present) return { kind: "away", title: "The host is back in a moment", text: "The video goes on by itself." };
  if (playback.status === "waiting") return { kind: "brief", title: "Reconnecting…" };
  return null;
}

function Countdown({ show }) {
  const left = show.starts_at_ms - tick.value;
  return html`<p class="starts">Starts <time datetime=${new Date(show.starts_at_ms).toISOString()}>${dateTime(show.starts_at_ms)}</time></p>
    ${left > 0
      ? html`<p class="clock" role="timer" data-testid="countdown">${countdown(left)}</p>`
      : html`<p class="clock small" data-testid="countdown">Any moment now</p>`}
    ${left > 0 && html`<a class="button" href="/api/v1/shows/${encodeURIComponent(show.show_id)}/calendar" download="${show.show_id}.ics" data-testid="calendar">Add to calendar</a>`}`;
}

export function Curtain({ show, playback, problem }) {
  const words = overlay(show, playback, problem);
  return html`<div class="curtain ${words?.kind ?? "open"}" role="status" data-testid="curtain" data-kind=${words?.kind ?? ""}>
    ${words?.kind === "countdown" && html`<h2>${show.title}</h2><${Countdown} show=${show} />`}
    ${words?.title && html`<h2>${words.title}</h2>`}
    ${words?.text && html`<p>${words.text}</p>`}
    ${words?.hub && html`<a class="button" href="/">All shows</a>`}
  </div>`;
}
